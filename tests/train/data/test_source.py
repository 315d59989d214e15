import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data import shapes3d
from train.data.source import ArraySource, ProceduralShapes3D
from train.errors import UserError
from train.source import Source

pytestmark = pytest.mark.usefixtures("optimised")
SIZES = (2, 3, 2)


def array_source(order=None, sizes=SIZES) -> ArraySource:
    factors = np.stack(np.unravel_index(np.arange(12), SIZES), -1).astype(np.int32)
    if order is not None:
        factors = factors[order]
    image = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    return ArraySource("toy", {"image": image, "factors": factors}, ("a", "b", "c"), sizes)


@pytest.mark.parametrize("source", [ProceduralShapes3D(), array_source()], ids=lambda s: s.name)
def test_protocol(source: Source):
    """Host and device give the same examples, of the shapes and dtypes that `spec` promises."""
    index = np.array([3, 0, len(source) - 1, 3])
    host = source[index]
    arrays = {key: jnp.asarray(a) for key, a in source.arrays.items()}
    device = jax.jit(source.take)(arrays, jnp.asarray(index, jnp.int32))
    assert set(host) == set(device) == set(source.spec)
    for key, spec in source.spec.items():
        assert isinstance(host[key], np.ndarray)
        for batch in (host[key], device[key]):
            assert (batch.shape, batch.dtype) == ((4, *spec.shape), spec.dtype)
        # Two programs, of which each may round the last bit of a colour its own way before it becomes a byte.
        difference = np.abs(host[key].astype(int) - np.asarray(device[key], int))
        assert difference.max() <= (key == "image") and np.mean(difference > 0) < 1e-3
    assert len(source.factor_names) == len(source.factor_sizes) == source.spec["factors"].shape[0]
    np.testing.assert_array_equal(source.index_with_factors(host["factors"]), index)


def test_procedural_examples():
    source = ProceduralShapes3D()
    assert (source.name, len(source), source.arrays) == ("shapes3d-procedural", 480_000, {})
    many = source[np.arange(0, 480_000, 800)]  # more than are rendered at once
    np.testing.assert_array_equal(many["factors"], shapes3d.index_to_factors(np.arange(0, 480_000, 800)))
    np.testing.assert_array_equal(many["image"][599], source[np.array([599 * 800])]["image"][0])


def test_nothing_stored_becomes_a_constant_of_the_program():
    source = array_source()
    arrays = {key: jax.ShapeDtypeStruct(a.shape, a.dtype) for key, a in source.arrays.items()}
    jaxpr = jax.make_jaxpr(source.take)(arrays, jax.ShapeDtypeStruct((4,), jnp.int32))
    assert not jaxpr.consts


def test_take_follows_a_sharded_index():
    """A batch drawn on eight devices is the batch drawn on one."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    source, index = ProceduralShapes3D(), np.arange(0, 16_000, 1000)
    batch = jax.jit(source.take, out_shardings=sharding)({}, jax.device_put(index.astype(np.int32), sharding))
    np.testing.assert_array_equal(batch["image"], source[index]["image"])


def test_combinations_are_found_in_any_order():
    order = np.random.default_rng(1).permutation(12)
    source = array_source(order)
    wanted = source.arrays["factors"][[5, 5, 0, 11]]
    np.testing.assert_array_equal(source.index_with_factors(wanted), [5, 5, 0, 11])


@pytest.mark.parametrize(
    "source",
    [
        array_source(np.r_[0:11, 0]),  # one combination twice
        array_source(sizes=(2, 3, 3)),  # some are missing
        ArraySource("bare", {"image": np.zeros((12, 8, 8, 3), np.uint8)}),
    ],
    ids=["repeated", "missing", "no factors"],
)
def test_incomplete_sets_have_no_row_for_every_combination(source):
    with pytest.raises(UserError, match=r"--data.source = .* every combination of factors exactly once"):
        source.index_with_factors(np.zeros((1, 3), np.int32))
