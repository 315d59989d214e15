"""The data-parallel mesh: one code for one device, eight, several processes, a pod."""

from contextlib import AbstractContextManager

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXIS = "data"


def data_mesh() -> Mesh:
    """A mesh of all devices of all processes over the axis "data".

    The axis type is Auto: a mesh with explicit axes breaks flax's Dropout.
    """
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def use_mesh(mesh: Mesh) -> AbstractContextManager:
    """The context in which `across_devices` knows the mesh."""
    return jax.set_mesh(mesh)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The given axis is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def across_devices(batch: PyTree) -> PyTree:
    """Divides the first axis of every array of a batch over the devices of the mesh in use, if any.

    For use inside a jitted step, on its batch and on the noise that is drawn for it: the step keeps seeing the
    global batch, and every mean, batch norm and pairwise loss is over the global batch. A batch that does not
    divide over the devices stays whole on each.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return batch

    def divide(a: jax.Array) -> jax.Array:
        whole = a.shape[0] % mesh.size != 0
        return a if whole else jax.lax.with_sharding_constraint(a, PartitionSpec(AXIS))

    return jax.tree.map(divide, batch)


def on_one_device(tree: PyTree) -> PyTree:
    """This process's copy of a tree that is replicated over the devices of all processes."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)
