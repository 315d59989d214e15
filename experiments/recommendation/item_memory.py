"""Memory of one device for a catalogue of a million items, whole and divided: what the compiled programs say.

Nothing is allocated: the programs of an update and of a ranking are compiled for shapes alone.
"""

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jaxtyping import Array, PyTree

from train import item_shards
from train.bounds import AtLeast, NonEmpty
from train.devices import AXIS, ITEMS, replicated, use_mesh
from train.errors import UserError
from train.metrics.ranking import rank_metrics
from train.report.tables import Cell, Table
from train.steps import mult_vae


@dataclass(frozen=True, kw_only=True)
class ItemMemory:
    """Memory per device of Mult-VAE, its items on one device and divided over several."""

    items: Annotated[int, AtLeast(2)] = 1_000_000
    """Items of the catalogue."""
    devices: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (1, 8)
    """Numbers of devices that the items are divided over."""
    batch_size: Annotated[int, AtLeast(1)] = 100
    """Users per update and per ranking."""
    longest: Annotated[int, AtLeast(1)] = 1000
    """Items of the longest user."""
    k: Annotated[int, AtLeast(1)] = 100
    """Ranks that count."""
    model: mult_vae.MultVAEConfig = mult_vae.MultVAEConfig(hidden=())


def item_memory_table(config: ItemMemory) -> Table:
    """A row per number of devices and program.

    Raises:
      UserError: settings without meaning, or more devices than there are.
    """
    if max(config.devices) > jax.device_count():
        remedy = "on a CPU set JAX_NUM_CPU_DEVICES=8"
        raise UserError("--devices", config.devices, f"there are {jax.device_count()}", remedy)
    rows: list[list[Cell]] = []
    for parts in config.devices:
        for name, compiled in _programs(config, parts).items():
            memory: Any = compiled.memory_analysis()
            largest = largest_array(compiled.as_text() or "")
            held = (memory.argument_size_in_bytes, memory.temp_size_in_bytes, largest)
            rows.append([parts, name, *(size / 2**20 for size in held)])
    what = f"Mult-VAE {config.model.architecture} and ranking"
    caption = f"items: {what}, {config.items:,} items, {config.batch_size} users"
    note = "MiB on one device, from the compiled programs; the arguments of an update hold Adam's moments as well."
    return Table(caption, ["devices", "program", "arguments", "temporary", "largest array"], rows, note)


def largest_array(text: str) -> int:
    """Bytes of the largest array in a compiled program (arrays of 4 bytes)."""
    shapes = re.findall(r"(?:f32|s32|u32)\[([\d,]+)\]", text)
    return 4 * max(math.prod(map(int, shape.split(","))) for shape in shapes)


def _programs(config: ItemMemory, parts: int) -> dict[str, jax.stages.Compiled]:
    devices = np.asarray(jax.devices()[:parts]).reshape(1, parts)
    mesh = Mesh(devices, (AXIS, ITEMS), axis_types=(AxisType.Auto,) * 2)
    width = item_shards.padded(config.items, parts)

    def start(key: Array) -> mult_vae.MultVAEState:
        fresh = mult_vae.init_state(key, config.model, config.items)
        return item_shards.pad_items(fresh, config.items, width)

    def update(state: mult_vae.MultVAEState, given: Array) -> PyTree:
        x = item_shards.multi_hot(given, width)
        return mult_vae.train_step(state, {"x": x}, config.model, config.items)

    def rank(params: PyTree, given: Array, held: Array) -> PyTree:
        x, held = item_shards.multi_hot(given, width), item_shards.multi_hot(held, width)
        return rank_metrics(mult_vae.scores(params, x, config.model), x, held, (config.k,), config.items)

    with use_mesh(mesh):
        state = jax.eval_shape(start, jax.random.key(0))
        places = jax.tree.map(partial(NamedSharding, mesh), item_shards.partition(state, width))
        state = jax.tree.map(
            lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), state, places
        )
        whole = replicated(mesh)
        ids = jax.ShapeDtypeStruct((config.batch_size, config.longest), np.int32, sharding=whole)
        step = jax.jit(update, donate_argnums=0, out_shardings=(places, whole))
        return {
            "update": step.lower(state, ids).compile(),
            "ranking": jax.jit(rank, out_shardings=whole).lower(state.params, ids, ids).compile(),
        }
