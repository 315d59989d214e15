"""How fast every estimator of mutual information learns: updates scanned, and dispatched one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from experiments.information.estimators import named
from experiments.timing import machine, timed
from train.bounds import AtLeast
from train.data.correlated_pairs import CorrelatedPairs
from train.report.tables import Table
from train.steps import mi_estimators, mutual_information

PUBLISHED_UPDATES = 20_000
"""Of every estimator in the toy studies."""


@dataclass(frozen=True, kw_only=True)
class MISpeed:
    """Updates of estimators of mutual information on correlated Gaussians: scanned, and dispatched one by one."""

    estimators: tuple[str, ...] = ("all",)
    """Estimators, named as in `mi_gaussian`: `club/CLUB`, a study (`club`), or `all`."""
    batch_size: Annotated[int, AtLeast(2)] = 64
    """Pairs per update."""
    dim: Annotated[int, AtLeast(1)] = 20
    """Dimensions of x and of y."""
    updates: Annotated[int, AtLeast(1)] = 200
    """Updates per timed call."""
    repeats: Annotated[int, AtLeast(1)] = 5
    """Timed calls of each form; the median counts."""
    club: mi_estimators.CLUBStudy = mi_estimators.CLUBStudy()
    poole: mi_estimators.PooleStudy = mi_estimators.PooleStudy(network="separable")


def mi_table(config: MISpeed) -> Table:
    """For each estimator the time of an update in either form, and that of the published number of scanned ones."""
    chosen = named(config.estimators, config.club, config.poole)
    rows = []
    for name, estimator in chosen.items():
        seconds = timed(mi_programs(config, estimator), config.repeats)
        scanned, single = (seconds[form].wall / config.updates for form in ("scanned", "single"))
        cpu = seconds["scanned"].cpu / seconds["single"].cpu
        rows.append(
            [name, 1e3 * scanned, 1e3 * single, single / scanned, 1 / cpu, PUBLISHED_UPDATES * scanned]
        )
    caption = (
        f"mi: updates on {config.batch_size} pairs of {config.dim} dimensions, Poole's critic {config.poole.network}, "
        f"on {machine()}; median of {config.repeats} calls of {config.updates} updates"
    )
    columns = [
        "estimator",
        "ms, scanned",
        "ms, a dispatch each",
        "times as fast",
        "by CPU time",
        f"s for {PUBLISHED_UPDATES:,} scanned",
    ]
    return Table(caption, columns, rows, "Without compilation. CPU time is that of all cores together.")


def mi_programs(config: MISpeed, estimator: mi_estimators.Estimator) -> dict[str, Callable[[], PyTree]]:
    """`config.updates` updates from the same state: in one program, and in as many dispatches of one update."""
    feed = CorrelatedPairs((2.0,), 1, config.batch_size, config.dim)
    state = mutual_information.init_state(jax.random.key(0), estimator, config.dim)
    chunk, order_key = feed.chunk(0, 1), jax.random.key(1)

    def update(i: jax.Array | int, carry: tuple[PyTree, PyTree], chunk: PyTree) -> tuple[PyTree, PyTree]:
        state, _ = carry
        batch = feed.batch(chunk, order_key, state.step, jnp.asarray(i))
        return mutual_information.train_step(state, batch, estimator)

    single = jax.jit(lambda state, chunk: update(0, (state, None), chunk))
    _, none = jax.eval_shape(single, state, chunk)
    zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), none)
    many = jax.jit(
        lambda state, chunk: jax.lax.fori_loop(
            0, config.updates, lambda i, carry: update(i, carry, chunk), (state, zeros)
        )
    )

    def one_by_one() -> PyTree:
        carry = (state, None)
        for _ in range(config.updates):
            carry = single(carry[0], chunk)
        return carry

    return {"scanned": lambda: many(state, chunk), "single": one_by_one}
