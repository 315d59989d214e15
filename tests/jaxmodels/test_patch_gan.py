"""The multi-scale discriminator against the official code and its table of shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.patch_gan import MultiScaleDiscriminator, PatchDiscriminator
from jaxmodels.torch_import.spade import import_network
from tests.jaxmodels.spade_goldens import assert_close, load, nhwc, under


def discriminator(width=8, scales=2, **settings):
    return MultiScaleDiscriminator(scales, PatchDiscriminator(width, parent=None, **settings))


@pytest.mark.parametrize(("name", "width"), [("spade_normal", 8), ("dagan_normal", 8), ("spade_vae", 4)])
def test_as_the_official_code(shared, name, width):
    """Every stage at both scales, on the generated and the real images."""
    golden = load(shared, name)
    layout, module = nhwc(golden["in/semantics"]), discriminator(width)
    images = {"fake": golden["eval/fake"], "real": golden["in/image"]}
    both = jnp.concatenate([jnp.concatenate([layout, nhwc(image)], -1) for image in images.values()])
    stages = jax.jit(lambda v, x: module.apply(v, x, False))(import_network(under(golden, "D/")), both)
    compared = 0
    for i, kind in enumerate(images):
        for key, array in under(golden, f"eval/D/{kind}/").items():
            scale, stage = map(int, key.split("/"))
            assert_close(stages[scale][stage][2 * i : 2 * i + 2], array)
        for key, array in under(golden, f"eval/D/{kind}stat/").items():
            scale, stage = map(int, key.split("/"))
            found = np.asarray(stages[scale][stage][2 * i : 2 * i + 2], np.float64)
            np.testing.assert_allclose([found.mean(), found.std()], array, atol=1e-4 * np.abs(array).max())
            compared += 1
    assert compared == 20


def shapes(module, size=64, channels=15, train=False):
    run = lambda key, x: module.init_with_output(key, x, train)  # noqa: E731
    return jax.eval_shape(
        run, jax.random.key(0), jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    )


def test_table_of_shapes():
    """At 64 pixels: 33, 17, 9, 10, 11, and half of it at the second scale."""
    stages, _ = shapes(discriminator(64))
    sides, channels = ([33, 17, 9, 10, 11], [17, 9, 5, 6, 7]), [64, 128, 256, 512, 1]
    for scale, of_scale in zip(stages, sides, strict=True):
        assert [s.shape for s in scale] == [(2, n, n, c) for n, c in zip(of_scale, channels, strict=True)]


def test_channels_stop_at_512():
    stages, _ = shapes(discriminator(256, scales=1, layers=5))
    assert [s.shape[-1] for s in stages[0]] == [256, 512, 512, 512, 512, 1]


@pytest.mark.parametrize(("width", "count"), [(8, 91_922), (16, 355_874), (32, 1_399_874)])
def test_number_of_parameters(width, count):
    _, variables = shapes(discriminator(width))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_spectral_norm_is_on_the_inner_stages_only():
    _, variables = shapes(discriminator())
    assert set(variables["spectral"]["discriminator_0"]) == {"model1", "model2", "model3"}
    assert set(variables["params"]) == {"discriminator_0", "discriminator_1"}
    assert set(shapes(discriminator(spectral=False))[1]) == {"params"}


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_norms_and_their_parameters(norm):
    """The convolution before a norm has no bias; only batch norm has parameters."""
    _, variables = shapes(discriminator(norm=norm))
    params = variables["params"]["discriminator_1"]
    assert ("bias" in params["model2"]) == (norm == "none")
    assert ("model2_norm" in params) == (norm == "batch")
    assert all("bias" in params[name] for name in ("model0", "model4"))


def test_scale_i_sees_the_image_pooled_i_times():
    """Copies with the same weights agree where the image is constant, up to the padding that each of them sees."""
    module = discriminator(2, layers=2, spectral=False, norm="none")
    rng = np.random.default_rng(0)
    _, wanted = shapes(module, 32, 3)
    own = jax.tree.map(
        lambda a: rng.standard_normal(a.shape).astype(np.float32), wanted["params"]["discriminator_0"]
    )
    params = {"discriminator_0": own, "discriminator_1": own}
    x = np.broadcast_to(np.asarray([0.2, -0.4, 0.9], np.float32), (1, 32, 32, 3))
    full, pooled = jax.jit(lambda x: module.apply({"params": params}, x, False))(x)
    for f, p in zip(full, pooled, strict=True):
        middle = [s[0, s.shape[1] // 2, s.shape[2] // 2] for s in (f, p)]
        np.testing.assert_allclose(*middle, rtol=1e-4, atol=1e-4)
