import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.image import mean_image_psnr, mean_squared_error, psnr

RNG = np.random.default_rng(0)
A, B = RNG.random((2, 5, 6, 4, 3), dtype=np.float32)


def test_golden(shared):
    with np.load(shared / "parity" / "metrics_image_rank.npz") as file:
        a, b, expected = file["img/a"], file["img/b"], file["img/psnr"]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-6)


def test_closed_forms():
    white, black = np.ones((2, 4, 4, 3)), np.zeros((2, 4, 4, 3))
    np.testing.assert_allclose(psnr(white, black), 0, atol=1e-6)
    np.testing.assert_allclose(psnr(black, black + 0.1), 20, rtol=1e-6)
    np.testing.assert_array_equal(psnr(white, white), np.inf)
    np.testing.assert_allclose(
        mean_image_psnr(np.stack([white[0], black[0]]), white), 10 * np.log10(4), rtol=1e-6
    )


def test_each_image_by_itself():
    expected = [np.mean((a - b) ** 2) for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(mean_squared_error(A, B), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(psnr)(A, B), psnr(A, B), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(psnr)(A[:, None], B[:, None])[:, 0], psnr(A, B), rtol=1e-6)


def test_bytes_do_not_wrap_round():
    a, b = (255 * A).astype(np.uint8), (255 * B).astype(np.uint8)
    np.testing.assert_allclose(psnr(a, b, peak=255), psnr(a / 255, b / 255), rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(5)), st.floats(0.1, 10))
def test_permutation_and_scale(order, scale):
    order = list(order)
    moved = psnr(np.float32(scale) * A[order], np.float32(scale) * B[order], peak=scale)
    np.testing.assert_allclose(moved, psnr(A, B)[np.array(order)], rtol=1e-4)
