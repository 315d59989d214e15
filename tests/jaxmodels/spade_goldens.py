"""The goldens of SPADE and DAGAN as our arrays, and what the tests of all generators share."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmodels.torch_import.spade import import_network

Arrays = Mapping[str, np.ndarray]


def load(shared: Path, name: str) -> Arrays:
    """All arrays of one file."""
    with np.load(shared / "parity" / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def under(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    """The entries behind a prefix, under the rest of their names."""
    return {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}


def nhwc(array: np.ndarray) -> jnp.ndarray:
    """From the golden's layout."""
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def assert_close(actual: object, expected: np.ndarray, of_maximum: float = 1e-4) -> None:
    """The README's tolerance: the largest error relative to the largest value."""
    expected = np.asarray(expected)
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=of_maximum * np.abs(expected).max())


def generated(golden: Arrays, module: nn.Module) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Our image and the activations under their official names, from the golden's snapshot, in eval mode."""
    z = jnp.asarray(golden["in/z"]) if "in/z" in golden else None
    variables = import_network(under(golden, "G/"))

    @jax.jit
    def run(variables: dict, layout: jax.Array) -> tuple:
        image, found = module.apply(
            variables, layout, z, False, capture_intermediates=True, mutable=["intermediates"]
        )
        found = found["intermediates"]
        modules = {**{name: found[name] for name in found if name != "trunk"}, **found["trunk"]}
        return image, {n: m["__call__"][0] for n, m in modules.items() if n != "__call__"}

    return run(variables, nhwc(golden["in/semantics"]))


def check_generator(golden: Arrays, module: nn.Module) -> None:
    """The image, every stored activation, and mean and deviation of every block."""
    image, activations = generated(golden, module)
    assert_close(image, golden["eval/fake"])
    for name, array in under(golden, "eval/act/").items():
        assert_close(activations[name], array)
    for name, array in under(golden, "eval/actstat/").items():
        found = np.asarray(activations[name], np.float64)
        np.testing.assert_allclose(
            [found.mean(), found.std()], array, rtol=0, atol=1e-4 * np.abs(array).max()
        )


def shapes(
    module: nn.Module, layout: tuple[int, int, int], latent: int | None = None
) -> tuple[jax.ShapeDtypeStruct, dict]:
    """(image, variables) of a generator for two layouts, as shapes."""
    z = None if latent is None else jax.ShapeDtypeStruct((2, latent), jnp.float32)
    run = lambda key, layout, z: module.init_with_output(key, layout, z, False)  # noqa: E731
    return jax.eval_shape(run, jax.random.key(0), jax.ShapeDtypeStruct((2, *layout), jnp.float32), z)


def parameters(variables: dict) -> int:
    """How many there are."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
