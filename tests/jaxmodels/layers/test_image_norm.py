"""The choice of normalisations: what each does, what it keeps, how its scales start."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxmodels.layers.image_norm import around_one, normalised
from jaxmodels.layers.instance_norm import instance_norm

X = 5 + 3 * jax.random.normal(jax.random.key(0), (4, 6, 5, 3))


class Layer(nn.Module):
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return normalised(x, self.norm, train, "norm", 0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(("norm", "expected"), [("instance", instance_norm(X)), ("none", X)])
def test_without_parameters(norm, expected):
    out, variables = Layer(norm).init_with_output(jax.random.key(1), X, True)
    assert not variables
    np.testing.assert_array_equal(out, expected)


def test_batch_norm_is_a_submodule_of_the_caller():
    variables = Layer("batch").init(jax.random.key(1), X, True)
    assert set(variables["params"]["norm"]) == {"scale", "bias"}
    out, after = Layer("batch").apply(variables, X, True, mutable=["batch_stats"])
    scale = np.asarray(variables["params"]["norm"]["scale"])
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), scale, rtol=1e-5)
    np.testing.assert_allclose(after["batch_stats"]["norm"]["mean"], 0.1 * X.mean((0, 1, 2)), rtol=1e-5)


def test_around_one():
    scale = np.asarray(around_one(0.02)(jax.random.key(0), (4000,)))
    np.testing.assert_allclose(scale.mean(), 1, atol=0.002)
    np.testing.assert_allclose(scale.std(), 0.02, rtol=0.1)
