"""How fast Mult-VAE trains and EASE is solved, on random users of the size of MovieLens-1M."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Array, PyTree
from scipy.sparse import csr_array

from experiments.timing import machine, timed
from train.bounds import AtLeast
from train.data.interactions import UserRows, from_pairs
from train.errors import UserError
from train.feed import ORDER
from train.metrics.recommender_baselines import ease
from train.report.tables import Table
from train.seeds import over_seeds, seed_keys, unstack
from train.shuffle import epoch_index
from train.steps import mult_vae


@dataclass(frozen=True, kw_only=True)
class MultVAESpeed:
    """Epochs of Mult-VAE, of one seed and of many, and the closed form of EASE."""

    users: Annotated[int, AtLeast(1)] = 3949
    """Training users."""
    items: Annotated[int, AtLeast(2)] = 2810
    """Items."""
    clicks: Annotated[int, AtLeast(1)] = 95
    """Mean number of items of a user."""
    batch_size: Annotated[int, AtLeast(2)] = 100
    """Users per update."""
    seeds: Annotated[int, AtLeast(1)] = 4
    """Runs in one program."""
    repeats: Annotated[int, AtLeast(1)] = 3
    """Timed calls of each; the median counts."""
    model: mult_vae.MultVAEConfig = mult_vae.MultVAEConfig()


def mult_vae_table(config: MultVAESpeed) -> Table:
    """Seconds of an epoch of one seed, of many in one program and one after another, and of EASE."""
    if config.users < config.batch_size:
        problem = f"must be at least a batch of {config.batch_size}"
        raise UserError("--users", config.users, problem, "give more, or a smaller --batch-size")
    rows = UserRows(random_users(config))
    arrays = jax.device_put(dict(rows.arrays))
    epoch = partial(_epoch, config, rows)
    one, many = jax.jit(epoch), jax.jit(over_seeds(epoch, (0, None), config.seeds))
    init = partial(mult_vae.init_state, config=config.model, items=config.items)
    states = jax.jit(over_seeds(init, (0,), config.seeds))(seed_keys(0, config.seeds))
    separate = [unstack(states, i) for i in range(config.seeds)]
    programs = {
        "one seed": lambda: one(separate[0], arrays),
        f"{config.seeds} seeds in one program": lambda: many(states, arrays),
        f"{config.seeds} seeds one after another": lambda: [one(state, arrays) for state in separate],
        "EASE": lambda: ease(rows.matrix, 500.0),
    }
    seconds = timed(programs, config.repeats)
    unit = seconds["one seed"].wall
    shown = [[name, taken.wall, taken.cpu, taken.wall / unit] for name, taken in seconds.items()]
    caption = (
        f"mult-vae: an epoch of {config.model.architecture}, {config.users:,} users, {config.items:,} items, "
        f"{rows.matrix.nnz:,} clicks, batch {config.batch_size}, on {machine()}; median of {config.repeats}"
    )
    return Table(caption, ["program", "s", "CPU s", "time, one seed = 1"], shown)


def random_users(config: MultVAESpeed) -> csr_array:
    """Clicks with a skew over users and items like that of MovieLens."""
    rng = np.random.default_rng(0)
    counts = np.minimum(rng.lognormal(np.log(config.clicks) - 0.5, 1.0, config.users), config.items / 2)
    user = np.repeat(np.arange(config.users), np.maximum(counts, 1).astype(int))
    popularity = rng.lognormal(0, 1.5, config.items)
    item = rng.choice(config.items, len(user), p=popularity / popularity.sum())
    return from_pairs(user, item, (config.users, config.items))[0]


def _epoch(config: MultVAESpeed, rows: UserRows, state: mult_vae.MultVAEState, arrays: PyTree) -> PyTree:
    """As many updates as see every user once, as the experiment's feed draws them."""

    def body(_: Array, state: mult_vae.MultVAEState) -> mult_vae.MultVAEState:
        order_key = jax.random.fold_in(state.key, ORDER)
        index = epoch_index(order_key, state.step, config.batch_size, config.users)
        return mult_vae.train_step(state, rows.take(arrays, index), config.model, config.items)[0]

    return jax.lax.fori_loop(0, -(-config.users // config.batch_size), body, state)
