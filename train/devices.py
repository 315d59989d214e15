"""The data-parallel mesh: one code for one device, eight, several processes, a pod."""

import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from train.errors import UserError

AXIS = "data"
ITEMS = "items"
State = TypeVar("State")
Batch = TypeVar("Batch")
Settings = ParamSpec("Settings")
Metrics = TypeVar("Metrics")


def data_mesh() -> Mesh:
    """A mesh of all devices of all processes over the axis "data".

    The axis type is Auto: a mesh with explicit axes breaks flax's Dropout.
    """
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def one_device_mesh() -> Mesh:
    """A mesh of this process's first device alone, for what one process computes for itself."""
    return jax.make_mesh((1,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:1])


def item_mesh(shape: str) -> Mesh:
    """The mesh of `data=4,items=2`: batches over the one axis, the items of a catalogue over the other.

    An axis that is not named is of size 1; the empty text is `data_mesh`.

    Raises:
      UserError: it is not such a text, or the sizes don't multiply to the number of devices.
    """
    if not shape:
        return data_mesh()
    if re.fullmatch(r"data=\d+(,items=\d+)?|items=\d+", shape) is None:
        raise UserError("--mesh", shape, "is not a mesh", "give e.g. data=4,items=2")
    sizes = {axis: int(size) for axis, size in re.findall(r"(\w+)=(\d+)", shape)}
    data, items = sizes.get(AXIS, 1), sizes.get(ITEMS, 1)
    if data * items != jax.device_count():
        problem = f"has {data * items} devices, but there are {jax.device_count()}"
        raise UserError("--mesh", shape, problem, f"give e.g. data=1,items={jax.device_count()}")
    if items > 1 and jax.process_count() > 1:
        raise UserError("--mesh", shape, "divides items over processes", "give items=1, or one process")
    return jax.make_mesh((data, items), (AXIS, ITEMS), axis_types=(AxisType.Auto, AxisType.Auto))


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
    divide over the devices stays whole on each, and one that the caller divides (see `parts_along`) is as it came.
    """

    def divide(a: jax.Array) -> jax.Array:
        if not rows_divide(a.shape[0]):
            return a
        rest = (PartitionSpec.UNCONSTRAINED,) * (a.ndim - 1)
        return jax.lax.with_sharding_constraint(a, PartitionSpec(AXIS, *rest))

    return batch if parts_along(AXIS) == 1 else jax.tree.map(divide, batch)


def on_any_mesh(
    step: Callable[Concatenate[State, Batch, Settings], tuple[State, Metrics]],
) -> Callable[Concatenate[State, Batch, Settings], tuple[State, Metrics]]:
    """A step that also runs where the caller's mesh has axes of type Explicit, over which its batch is divided.

    Such a division is part of an array's type, and every index and reshape of a divided batch would have to spell out
    its own. Inside the step these axes are of type Auto instead: the compiler divides the work as the batch is divided.
    The new state is divided as the old one was; metrics are whole on every device.
    """

    @functools.wraps(step)
    def run(
        state: State, batch: Batch, *args: Settings.args, **named: Settings.kwargs
    ) -> tuple[State, Metrics]:
        mesh = jax.sharding.get_abstract_mesh()
        types = zip(mesh.axis_names, mesh.axis_types, strict=True)
        explicit = tuple(axis for axis, kind in types if kind == AxisType.Explicit)
        if not explicit:
            return step(state, batch, *args, **named)
        kept = jax.tree.map(lambda a: jax.typeof(a).sharding.spec, state)
        inside = jax.sharding.auto_axes(axes=explicit, out_sharding=(kept, PartitionSpec()))
        return inside(lambda state, batch: step(state, batch, *args, **named))(state, batch)

    return run


def rows_divide(rows: int) -> bool:
    """Whether the mesh in use has an axis "data" that is ours to divide over, and so many rows divide over it."""
    return parts_along(AXIS) > 1 and rows % parts_along(AXIS) == 0


def parts_along(axis: str) -> int:
    """How many parts an array may be divided in along an axis of the mesh in use.

    It is 1 without a mesh, on one that has no such axis, and where the caller divides along it: by an axis of type
    Explicit, or within `pmap` and `shard_map`, where it is Manual and a function sees its own part.
    """
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[axis] if types.get(axis) == AxisType.Auto else 1


def on_one_device(tree: PyTree) -> PyTree:
    """This process's copy of a tree that is replicated over the devices of all processes."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)
