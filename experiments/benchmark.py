"""How fast training is, beside what it is compared with: programs timed in turn, in one run.

python -m experiments.benchmark gwae       one step, beside the same step on plain lax convolutions
python -m experiments.benchmark cada-vae   updates scanned on the device, dispatched one by one, and of many seeds
python -m experiments.benchmark mult-vae   an epoch on users x items, of one seed and of many, and EASE
python -m experiments.benchmark items      memory per device of a catalogue that is divided over devices
python -m experiments.benchmark mi         every estimator of mutual information, scanned and dispatched one by one
python -m experiments.benchmark gaugan     an update of GauGAN or DAGAN and its parts, beside plain lax convolutions
"""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import PyTree

from experiments import cli
from experiments.information.speed import MISpeed, mi_table
from experiments.recommendation.item_memory import ItemMemory, item_memory_table
from experiments.recommendation.speed import MultVAESpeed, mult_vae_table
from experiments.synthesis.speed import GauGANSpeed, gaugan_table
from experiments.timing import machine, timed
from jaxmodels.layers.convolution import Form, convolution_form
from train.bounds import AtLeast, check_bounds
from train.errors import UserError
from train.feed import ORDER
from train.report.tables import Table, to_text
from train.seeds import over_seeds, seed_keys, unstack
from train.shuffle import epoch_index
from train.steps import cada_vae, gwae, gwae_networks


@dataclass(frozen=True, kw_only=True)
class GWAE:
    """One step of GWAE, beside the same step on plain lax convolutions."""

    batch_size: Annotated[int, AtLeast(2)] = 64
    """Examples per update."""
    repeats: Annotated[int, AtLeast(1)] = 7
    """Timed steps of each form; the median counts."""
    model: gwae_networks.GWAEConfig = gwae_networks.GWAEConfig()


@dataclass(frozen=True, kw_only=True)
class CADAVAE:
    """Updates of CADA-VAE on data that live on the device: scanned, dispatched one by one, of many seeds."""

    features: Annotated[int, AtLeast(1)] = 128
    """Number of image features."""
    attributes: Annotated[int, AtLeast(1)] = 22
    """Number of attributes of a class."""
    rows: Annotated[int, AtLeast(1)] = 5400
    """Number of training examples."""
    batch_size: Annotated[int, AtLeast(2)] = 50
    """Examples per update."""
    updates: Annotated[int, AtLeast(1)] = 200
    """Updates per timed call."""
    seeds: Annotated[int, AtLeast(1)] = 10
    """Number of runs in one program."""
    repeats: Annotated[int, AtLeast(1)] = 3
    """Timed calls of each form; the median counts."""
    model: cada_vae.CADAVAEConfig = cada_vae.CADAVAEConfig()


Config = (
    Annotated[GWAE, tyro.conf.subcommand("gwae")]
    | Annotated[CADAVAE, tyro.conf.subcommand("cada-vae")]
    | Annotated[MultVAESpeed, tyro.conf.subcommand("mult-vae")]
    | Annotated[ItemMemory, tyro.conf.subcommand("items")]
    | Annotated[MISpeed, tyro.conf.subcommand("mi")]
    | Annotated[GauGANSpeed, tyro.conf.subcommand("gaugan")]
)


def main(argv: Sequence[str]) -> None:
    """Compiles the programs, times them in turn, prints the table."""
    parsed: GWAE | CADAVAE | MultVAESpeed | ItemMemory | MISpeed | GauGANSpeed = tyro.cli(
        Config,  # pyright: ignore
        prog="python -m experiments.benchmark",
        description=__doc__,
        args=list(argv),
    )
    print(to_text(table(parsed)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"Peak resident memory of this process, with all programs: {peak:.0f} MiB.")


def table(parsed: GWAE | CADAVAE | MultVAESpeed | ItemMemory | MISpeed | GauGANSpeed) -> Table:
    """What was measured.

    Raises:
      UserError: nothing can be measured with these settings.
    """
    check_bounds(parsed)
    match parsed:
        case ItemMemory():
            return item_memory_table(parsed)
        case GWAE():
            return gwae_table(parsed)
        case CADAVAE():
            return cada_vae_table(parsed)
        case MultVAESpeed():
            return mult_vae_table(parsed)
        case MISpeed():
            return mi_table(parsed)
        case GauGANSpeed():
            return gaugan_table(parsed)


def gwae_table(config: GWAE) -> Table:
    """A step in both forms."""
    state = jax.jit(partial(gwae.init_state, config=config.model))(jax.random.key(0))
    images = jax.random.randint(jax.random.key(1), (config.batch_size, 64, 64, 3), 0, 256).astype(jnp.uint8)
    forms: dict[str, Form] = {"this library": "platform", "plain lax convolutions": "lax"}
    compiled = {name: compiled_gwae(config, form, state, {"image": images}) for name, form in forms.items()}
    calls = {name: partial(program, state, {"image": images}) for name, (program, _) in compiled.items()}
    seconds = timed(calls, config.repeats)
    rows = []
    for name, (program, compile_seconds) in compiled.items():
        cost, memory = program.cost_analysis() or {}, program.memory_analysis()
        temporary = memory.temp_size_in_bytes / 2**20 if memory is not None else 0.0
        ratio = seconds[name].wall / seconds["this library"].wall
        rows.append([name, seconds[name].wall, ratio, compile_seconds, cost.get("flops", 0) / 1e9, temporary])
    caption = (
        f"gwae: one whole step, batch {config.batch_size}, L = {config.model.latent_dim}, "
        f"{config.model.critic_steps} critic iterations, on {machine()}; median of {config.repeats}"
    )
    columns = ["form", "s / step", "ratio", "compile s", "GFLOP (XLA)", "peak temporary MiB"]
    return Table(caption, columns, rows)


def compiled_gwae(
    config: GWAE, form: Form, state: PyTree, batch: PyTree
) -> tuple[jax.stages.Compiled, float]:
    """The step in one form, and the seconds that compiling it took."""
    step = partial(
        gwae.train_step, config=config.model
    )  # a new function: jit must not find the other form's trace
    with convolution_form(form):
        began = time.perf_counter()
        compiled = jax.jit(step).lower(state, batch).compile()
        return compiled, time.perf_counter() - began


def cada_vae_table(config: CADAVAE) -> Table:
    """Many updates of one seed, scanned or one by one; of many seeds, in one program or one after another."""
    if config.rows < config.batch_size:
        problem = f"must be at least a batch of {config.batch_size}"
        raise UserError("--rows", config.rows, problem, "give more, or a smaller --batch-size")
    cada_vae.check(config.model)
    sizes = {cada_vae.IMAGE: config.features, "attributes": config.attributes}
    data = {name: np.random.default_rng(0).random((config.rows, n), np.float32) for name, n in sizes.items()}
    data = jax.device_put(data)
    many, one = (partial(_updates, config, sizes, count=count) for count in (config.updates, 1))
    scanned, single = jax.jit(many), jax.jit(one)
    together = jax.jit(over_seeds(many, (0, None), config.seeds))
    init = over_seeds(partial(cada_vae.init_state, config=config.model, sizes=sizes), (0,), config.seeds)
    states = jax.jit(init)(seed_keys(0, config.seeds))
    first, *_ = separate = [unstack(states, i) for i in range(config.seeds)]

    def one_by_one() -> PyTree:
        state = first
        for _ in range(config.updates):
            state = single(state, data)
        return state

    calls = {
        "one seed, scanned": (1, lambda: scanned(first, data)),
        "one seed, a dispatch per update": (1, one_by_one),
        f"{config.seeds} seeds in one program": (config.seeds, lambda: together(states, data)),
        f"{config.seeds} seeds one after another": (
            config.seeds,
            lambda: [scanned(state, data) for state in separate],
        ),
    }
    seconds = timed({name: call for name, (_, call) in calls.items()}, config.repeats)
    baseline = seconds["one seed, scanned"].wall
    rows = []
    for name, (seeds, _) in calls.items():
        updates = seeds * config.updates
        wall, cpu = seconds[name].wall, seconds[name].cpu
        rows.append([name, 1e3 * wall / updates, 1e3 * cpu / updates, wall / baseline])
    caption = (
        f"cada-vae: {config.updates} updates per seed, batch {config.batch_size}, {config.features} image features, "
        f"{config.attributes} attributes, on {machine()}; median of {config.repeats}"
    )
    columns = ["form", "ms / update", "CPU ms / update", "time, one scanned seed = 1"]
    return Table(caption, columns, rows, "CPU time is that of all cores together.")


def _updates(
    config: CADAVAE, sizes: Mapping[str, int], state: cada_vae.CADAVAEState, data: PyTree, count: int
) -> cada_vae.CADAVAEState:
    """`count` updates, each on a fresh random subset of the rows, as the experiment's feed draws them."""

    def body(_: jax.Array, state: cada_vae.CADAVAEState) -> cada_vae.CADAVAEState:
        order_key = jax.random.fold_in(jax.random.fold_in(state.key, ORDER), state.step)
        index = epoch_index(order_key, 0, config.batch_size, config.rows)
        batch = jax.tree.map(lambda a: a[index], data)
        steps_per_epoch = -(-config.rows // config.batch_size)
        return cada_vae.train_step(state, batch, config.model, sizes, steps_per_epoch)[0]

    return jax.lax.fori_loop(0, count, body, state)


if __name__ == "__main__":
    cli.main(main)
