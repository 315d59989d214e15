import numpy as np
import pytest

from train.metrics.baselines import fit_linear_codes

RNG = np.random.default_rng(0)
LATENTS = RNG.normal(size=(60, 3)) * [9, 3, 1]
BASIS = np.linalg.qr(RNG.normal(size=(48, 3)))[0].T
IMAGES = (LATENTS @ BASIS + 0.5).reshape(60, 4, 4, 3).astype(np.float32)


def test_images_on_a_plane_come_back():
    code = fit_linear_codes(IMAGES[:50], 3)
    rest = code.encode(IMAGES[50:])
    assert rest.shape == (10, 3)
    np.testing.assert_allclose(code.decode(rest), IMAGES[50:], atol=1e-4)
    np.testing.assert_allclose(code.components @ code.components.T, np.eye(3), atol=1e-5)


def test_equals_the_exact_decomposition():
    flat = IMAGES[:50].reshape(50, -1).astype(float)
    expected = np.linalg.svd(flat - flat.mean(axis=0))[2][:2]
    cosines = np.abs((fit_linear_codes(IMAGES[:50], 2).components * expected).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_codes_depend_on_training_images_only():
    code = fit_linear_codes(IMAGES[:50], 2)
    np.testing.assert_allclose(code.encode(IMAGES[50:52]), code.encode(IMAGES[50:])[:2], atol=1e-4)
    variances = fit_linear_codes(IMAGES, 3).encode(IMAGES).var(axis=0)
    assert (np.diff(variances) < 0).all()


def test_too_many_components():
    with pytest.raises(ValueError, match="n_components"):
        fit_linear_codes(IMAGES[:4], 5)
