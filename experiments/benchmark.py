"""How fast a training step is, beside the same step on plain lax convolutions, measured in one run."""

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import PyTree

from experiments import cli
from jaxmodels.layers.convolution import Form, convolution_form
from train.errors import UserError
from train.steps import gwae
from train.tables import Table, to_text


@dataclass(frozen=True, kw_only=True)
class Config:
    """Times one training step."""

    system: Annotated[Literal["gwae"], tyro.conf.Positional]
    """What is timed."""
    batch_size: int = 64
    """Examples per update."""
    repeats: int = 7
    """Timed steps of each form; the median counts."""
    model: gwae.GWAEConfig = gwae.GWAEConfig()


@dataclass(frozen=True)
class Timing:
    """One compiled step: seconds to compile and per step, GFLOP and bytes of temporaries by XLA's count."""

    compile: float
    step: float
    gigaflops: float
    temporary_bytes: int


def main(argv: Sequence[str]) -> None:
    """Compiles the step in both forms, times them in turn, prints the table."""
    config = tyro.cli(Config, prog="python -m experiments.benchmark", description=__doc__, args=list(argv))
    for flag, value, least in (
        ("--batch-size", config.batch_size, 2),
        ("--repeats", config.repeats, 1),
        ("--model.latent-dim", config.model.latent_dim, 1),
        ("--model.critic-steps", config.model.critic_steps, 1),
    ):
        if value < least:
            raise UserError(flag, value, "is too small", f"give at least {least}")
    state = jax.jit(partial(gwae.init_state, config=config.model))(jax.random.key(0))
    images = jax.random.randint(jax.random.key(1), (config.batch_size, 64, 64, 3), 0, 256).astype(jnp.uint8)
    forms: dict[str, Form] = {"this library": "platform", "plain lax convolutions": "lax"}
    programs = {name: _compiled(config, form, state, {"image": images}) for name, form in forms.items()}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(config.repeats + 1):
        for name, (program, _) in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program(state, {"image": images}))
            seconds[name].append(time.perf_counter() - began)
    timings = {name: _timing(programs[name], seconds[name][1:]) for name in programs}
    print(to_text(_table(config, timings)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"Peak resident memory of this process, with both programs: {peak:.0f} MiB.")


def _compiled(config: Config, form: Form, state: PyTree, batch: PyTree) -> tuple[jax.stages.Compiled, float]:
    step = partial(
        gwae.train_step, config=config.model
    )  # a new function: jit must not find the other form's trace
    with convolution_form(form):
        began = time.perf_counter()
        compiled = jax.jit(step).lower(state, batch).compile()
        return compiled, time.perf_counter() - began


def _timing(program: tuple[jax.stages.Compiled, float], seconds: list[float]) -> Timing:
    compiled, compile_seconds = program
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    temporary = memory.temp_size_in_bytes if memory is not None else 0
    return Timing(compile_seconds, statistics.median(seconds), cost.get("flops", 0) / 1e9, temporary)


def _table(config: Config, timings: dict[str, Timing]) -> Table:
    ours = timings["this library"].step
    rows = [
        [name, t.step, t.step / ours, t.compile, t.gigaflops, t.temporary_bytes / 2**20]
        for name, t in timings.items()
    ]
    device = jax.devices()[0].device_kind
    caption = (
        f"{config.system}: one whole step, batch {config.batch_size}, L = {config.model.latent_dim}, "
        f"{config.model.critic_steps} critic iterations, on {jax.device_count()} x {device}; median of {config.repeats}"
    )
    columns = ["form", "s / step", "ratio", "compile s", "GFLOP (XLA)", "peak temporary MiB"]
    return Table(caption, columns, rows, f"jax {jax.__version__}, Python {sys.version.split()[0]}.")


if __name__ == "__main__":
    cli.main(main)
