"""Images of the wrong number format are refused while a step is traced, and none is scaled twice."""

import functools

import jax
import jax.numpy as jnp
import pytest

from tests.train.steps.test_transforms import SYSTEMS
from train.steps.image_types import require_bytes, require_floats

BYTES = ("gwae", "vae", "gaugan")
FLOATS = ("bottleneck/vub", "domains/club-sampled")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int32", "int8", "uint16", "bool"])
def test_only_bytes(dtype):
    image = jax.ShapeDtypeStruct((2, 4, 4, 3), dtype)
    assert require_bytes(jax.ShapeDtypeStruct((2, 4, 4, 3), "uint8")).dtype == jnp.uint8
    with pytest.raises(TypeError, match=f"these are {dtype}"):
        require_bytes(image)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_only_floats(dtype):
    assert require_floats(jax.ShapeDtypeStruct((2,), "bfloat16")).dtype == jnp.bfloat16
    with pytest.raises(TypeError, match=rf"\[0, 1\], and these are {dtype}: give image / 255"):
        require_floats(jax.ShapeDtypeStruct((2,), dtype))


@pytest.mark.parametrize("name", [*BYTES, *FLOATS, "segmenter"])
def test_every_step_says_so_at_once(name):
    system = SYSTEMS[name]
    wrong = "float32" if name in BYTES else "int32"
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), system.batch)

    def spoil(path, leaf):
        return jax.ShapeDtypeStruct(leaf.shape, wrong) if path[-1].key == "image" else leaf

    batch = jax.tree_util.tree_map_with_path(spoil, batch)
    state = jax.eval_shape(functools.partial(system.init, jax.random.key(0)))
    with pytest.raises(TypeError, match=f"these are {wrong}"):
        jax.eval_shape(system.step, state, batch)
