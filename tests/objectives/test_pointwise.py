"""Losses of one score: the reference's cells, closed forms, gradients, and scores of +-1e4."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.pointwise import pointwise

SCORES = jnp.asarray([-2.0, -0.5, 0.3, 1.7, -2.0, -0.5, 0.3, 1.7])
X = jnp.asarray([1.0, 1, 1, 1, 0, 0, 0, 0])
S, Y = np.float64(SCORES), 2 * np.float64(X) - 1
VALUES = {
    "square": (X - S) ** 2,
    "square-half": (X - S) ** 2 / 2,
    "ce": np.log1p(np.exp(-Y * S)),
    "log": np.log1p(np.exp(-Y * S)),
    "hinge": np.maximum(0, 1 - Y * S),
    "sqhinge": np.maximum(0, 1 - Y * S) ** 2 / 2,
}
GRADIENTS = {
    "square": -2 * (X - S),
    "square-half": -(X - S),
    "ce": -Y / (1 + np.exp(Y * S)),
    "log": -Y / (1 + np.exp(Y * S)),
    "hinge": -Y * (Y * S < 1),
    "sqhinge": -Y * np.maximum(0, 1 - Y * S),
}


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_closed_forms(self):
        @self.variant
        def every(scores):
            return {loss: pointwise(scores, X, loss) for loss in VALUES}

        for loss, value in every(SCORES).items():
            np.testing.assert_allclose(value, VALUES[loss], rtol=1e-5, err_msg=loss)


def test_gradients():
    @jax.jit
    def every(scores):
        return {loss: jax.grad(lambda s, loss=loss: pointwise(s, X, loss).sum())(scores) for loss in VALUES}

    for loss, value in every(SCORES).items():
        np.testing.assert_allclose(value, GRADIENTS[loss], rtol=1e-5, err_msg=loss)
    for loss, value in every(jnp.asarray([1e4, -1e4] * 4)).items():
        assert np.isfinite(value).all(), loss


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_goldens(shared, dtype, rtol):
    with (
        np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as gold,
        jax.enable_x64(dtype == np.float64),
    ):
        scores, x = (jnp.asarray(gold[f"cdae/{name}"], dtype) for name in ("out_sigmoid", "y"))
        for loss in VALUES:
            expected = gold[f"cdae/loss_{loss.replace('-', '_')}"]
            # Close to its corner a hinge has few digits left: relative to the largest cell.
            np.testing.assert_allclose(
                pointwise(scores, x, loss), expected, rtol=rtol, atol=rtol * expected.max(), err_msg=loss
            )


def test_unknown_loss():
    with pytest.raises(Exception, match="absolute"):
        pointwise(SCORES, X, "absolute")
