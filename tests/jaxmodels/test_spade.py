"""SPADE's layer, residual block and generator against the official code, and what must hold of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.spade import SPADE, SPADEGenerator, SPADEResBlock, Style, latent_grid
from jaxmodels.torch_import.spade import import_network
from tests.jaxmodels.spade_goldens import assert_close, check_generator, load, nhwc, parameters, shapes, under


@pytest.fixture(scope="module")
def layers(shared):
    return load(shared, "spade_layers")


def in_both_modes(module, variables, *inputs):
    """(train output, the collections after it, eval output with these, eval output before)."""

    @jax.jit
    def run(variables):
        mutable = [name for name in variables if name != "params"]
        train, changed = module.apply(variables, *inputs, True, mutable=mutable)
        after = module.apply(variables | changed, *inputs, False)
        return train, changed, after, module.apply(variables, *inputs, False)

    return run(variables)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("norm", ["instance", "batch", "syncbatch"])
def test_layer_as_the_official_code(layers, norm, size):
    """A train-mode call from fresh statistics, these statistics, and the eval-mode call behind it."""
    weights = "batch" if norm == "syncbatch" else norm
    wanted = import_network(under(layers, f"layer/{weights}{size}/state_after_train/"))
    fresh = dict(wanted)
    if norm != "instance":
        fresh["batch_stats"] = {"param_free_norm": {"mean": np.zeros(6), "var": np.ones(6)}}
        fresh = jax.tree.map(np.float32, fresh)
    module = SPADE(Style(norm=norm, kernel=size))
    x, layout = nhwc(layers["layer/x"]), nhwc(layers["layer/seg"])
    train, changed, after, _ = in_both_modes(module, fresh, x, layout)
    assert_close(train, layers[f"layer/{norm}{size}/train"])
    assert_close(after, layers[f"layer/{norm}{size}/eval_after"])
    for name, array in wanted.get("batch_stats", {}).get("param_free_norm", {}).items():
        assert_close(changed["batch_stats"]["param_free_norm"][name], array)


@pytest.mark.parametrize("channels", ["8_4", "4_8", "6_6"])
def test_residual_block_as_the_official_code(layers, channels):
    golden = under(layers, f"resblk/{channels}/")
    module = SPADEResBlock(int(channels[-1]), Style())
    variables = import_network(under(golden, "state/"))
    train, _, _, evaluated = in_both_modes(module, variables, nhwc(golden["x"]), nhwc(layers["layer/seg"]))
    assert_close(train, golden["train"])
    assert_close(evaluated, golden["eval"])


@pytest.mark.parametrize(("name", "width"), [("spade_normal", 8), ("spade_vae", 4)])
def test_generator_as_the_official_code(shared, name, width):
    check_generator(load(shared, name), SPADEGenerator(width))


def test_number_of_parameters():
    """Those of the official code at 12 classes."""
    assert parameters(shapes(SPADEGenerator(32), (64, 64, 12))[1]) == 29_610_211


def test_number_of_parameters_with_style(shared):
    golden = load(shared, "spade_vae")
    assert parameters(shapes(SPADEGenerator(4), (256, 256, 5), 256)[1]) == golden["meta/n_params_G"]
    assert latent_grid(256, 256, "normal") == tuple(golden["meta/sw_sh"])


@pytest.mark.parametrize(
    ("height", "width", "upsampling", "grid"),
    [(64, 64, "normal", (2, 2)), (256, 512, "more", (4, 8)), (128, 128, "most", (1, 1))],
)
def test_latent_grid(height, width, upsampling, grid):
    assert latent_grid(height, width, upsampling) == grid


@pytest.mark.parametrize("size", [(32, 48), (16, 32), (0, 32)])
def test_image_that_is_no_multiple_is_refused(size):
    with pytest.raises(ValueError, match="is not a multiple of 32 pixels"):
        latent_grid(*size, "normal")


@pytest.mark.parametrize(("upsampling", "last"), [("more", 4), ("most", 2)])
def test_shapes_and_channels(upsampling, last):
    """16 nf at the start, halved by every block behind the middle; the image has the layout's size."""
    image, variables = shapes(SPADEGenerator(4, upsampling), (128, 256, 3))
    assert image.shape == (2, 128, 256, 3)
    params = variables["params"]
    assert params["trunk"]["fc"]["kernel"].shape == (3, 3, 3, 64)
    assert params["conv_img"]["kernel"].shape == (3, 3, last, 3)
    assert ("up_4" in params["trunk"]) == (upsampling == "most")
    shortcuts = [name for name, block in params["trunk"].items() if "conv_s" in block]
    assert shortcuts == [name for name in params["trunk"] if name.startswith("up_")]


def variables_of(module, *inputs, seed=0):
    """Variables that make visible images: with the official gain of 0.02 they are grey at the start."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path[-1].key == "var":
            return np.ones(leaf.shape, np.float32)
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 100
        return (rng.standard_normal(leaf.shape) * fan_in**-0.5).astype(np.float32)

    wanted = jax.eval_shape(lambda key: module.init(key, *inputs, False), jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, wanted)


@pytest.fixture(scope="module")
def mirrored():
    """(layout of blocks, layout of pixels) -> their images, and those of their mirror images by mirrored kernels."""
    module = SPADEGenerator(1, style=Style(spectral=False))
    blocks = np.asarray([[0, 1, 2], [3, 0, 1]]).repeat(32, 0).repeat(32, 1)
    pixels = np.random.default_rng(1).integers(0, 4, blocks.shape)
    layouts = jnp.eye(4)[jnp.asarray(np.stack([blocks, pixels]))]
    variables = variables_of(module, layouts, None)
    flipped = jax.tree.map(lambda a: a[:, ::-1] if a.ndim == 4 else a, variables)
    generate = jax.jit(lambda variables, layouts: module.apply(variables, layouts, None, False))
    return generate(variables, layouts), generate(flipped, layouts[:, :, ::-1])


def test_mirrored_kernels_mirror_the_image(mirrored):
    """Of layouts that are constant over blocks of 2^U pixels."""
    image, mirror = (np.asarray(images[0]) for images in mirrored)
    assert image.std() > 0.1
    np.testing.assert_allclose(mirror, image[:, ::-1], atol=1e-4)


def test_other_layouts_are_read_from_their_left(mirrored):
    """The layers see every r-th column from column 0 on, and the mirror image has others there."""
    image, mirror = (np.asarray(images[1]) for images in mirrored)
    assert np.abs(mirror - image[:, ::-1]).max() > 0.1


@pytest.mark.parametrize("size", [1, 3])
def test_constant_layout_modulates_all_pixels_alike(size):
    """Away from the padding, which two convolutions of the layout see."""
    module = SPADE(Style(norm="instance", kernel=size))
    # Half -1 and half 1 in every channel: no value is near 0 behind the norm.
    signs = np.random.default_rng(0).permutation(np.tile([-1.0, 1.0], 45)).reshape(1, 9, 10, 1)
    x = np.concatenate([signs, -signs], -1).astype(np.float32)
    layout = np.zeros((1, 36, 40, 3), np.float32)
    layout[..., 1] = 1
    variables = variables_of(module, x, layout)
    apply = jax.jit(lambda x: module.apply(variables, x, layout, False))
    beta = np.asarray(apply(np.zeros_like(x)))
    normalised = x / x.std((1, 2), keepdims=True)
    gamma = (np.asarray(apply(x)) - beta) / normalised - 1
    border = 2 * (size // 2)
    for field in (gamma, beta):
        inside = field[:, border : 9 - border, border : 10 - border]
        assert np.abs(inside).max() > 0.1
        np.testing.assert_allclose(inside, np.broadcast_to(inside[:, :1, :1], inside.shape), atol=1e-4)
    if size > 1:
        assert np.ptp(beta[0, :, 5, 0]) > 0.01


def test_vmap_over_networks():
    module = SPADE(Style(norm="instance"))
    rng = np.random.default_rng(0)
    x, layout = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 4, 4, 2), (2, 8, 8, 2)))
    several = [variables_of(module, x, layout, seed=seed) for seed in range(2)]
    apply = jax.jit(lambda variables: module.apply(variables, x, layout, False))
    together = jax.vmap(apply)(jax.tree.map(lambda *leaves: np.stack(leaves), *several))
    np.testing.assert_allclose(together, np.stack([apply(variables) for variables in several]), atol=1e-4)


def test_bfloat16_and_remat_keep_float32_parameters_and_images():
    """Recomputation changes no name and no shape."""
    _, wanted = shapes(SPADEGenerator(1), (32, 32, 2))
    image, variables = shapes(SPADEGenerator(1, style=Style(dtype=jnp.bfloat16, remat=True)), (32, 32, 2))
    assert image.dtype == jnp.float32
    assert variables == wanted
