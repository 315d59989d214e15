"""Simulated users, for runs without any file: latent tastes, a skewed popularity, many short histories and few long.

Taste k is a distribution over items, phi_k,i ~ popularity_i a_k,i; user u mixes tastes with weights t_u; the user's
items are drawn from p(i | u) = sum_k t_u,k phi_k,i without replacement, as many as a log-normal number says.
Popularity falls as a power of the rank (Zipf). t_u and a_.,i are from Dirichlet distributions with small
concentrations: most users have few tastes, most items fit few of them.
"""

from typing import Literal, NamedTuple

import numpy as np

from train.data.ratings import Counts, Events

NAME = "simulated-users"


class Population(NamedTuple):
    """How users and items of a kind are: the number of tastes, the Dirichlet concentrations, and the exponent of
    popularity over its rank."""

    tastes: int
    user_concentration: float
    item_concentration: float
    skew: float


PopulationName = Literal["broad", "narrow"]
POPULATIONS: dict[PopulationName, Population] = {
    "broad": Population(24, 0.12, 0.08, 0.8),
    "narrow": Population(100, 0.01, 0.002, 0.5),
}
"""`broad`: tastes overlap and popularity says much, as of films; `narrow`: nearly every item is of one taste and every
user of few, so that popularity says little, as of music."""
MEDIAN_ITEMS, SPREAD, MOST_ITEMS = 26.0, 0.75, 0.3
"""Of the number of items of a user: the median, the standard deviation of its logarithm, the largest share of all."""
LEAST_ITEMS = 5
BACKGROUND = 0.1
"""The share of draws by popularity alone."""


def simulated_users(
    users: int = 3000, items: int = 1000, seed: int = 0, population: PopulationName = "broad"
) -> Events:
    """The events of a population, each a user's choice of an item; a function of the arguments only.

    NumPy's RandomState, whose stream is frozen, draws everything. Memory: a few matrices users x items.

    Args:
      users: how many.
      items: in the catalogue; about the rarest few may be chosen by nobody.
      seed: of the population.
      population: the kind.
    """
    random, kind = np.random.RandomState(seed), POPULATIONS[population]
    popularity = (1.0 + random.permutation(items)) ** -kind.skew
    tastes = popularity * random.dirichlet(np.full(kind.tastes, kind.item_concentration), items).T
    tastes /= tastes.sum(1, keepdims=True)
    mixture = random.dirichlet(np.full(kind.tastes, kind.user_concentration), users)
    chance = (1 - BACKGROUND) * mixture @ tastes + BACKGROUND * popularity / popularity.sum()
    # The largest of log p + Gumbel noise are draws without replacement, in the order of the draws.
    order = np.argsort(-(np.log(chance) + random.gumbel(size=chance.shape)), axis=1, kind="stable")
    wanted = MEDIAN_ITEMS * np.exp(SPREAD * random.standard_normal(users))
    count = np.clip(wanted, LEAST_ITEMS, max(LEAST_ITEMS, MOST_ITEMS * items)).astype(int)
    chosen = np.arange(items) < count[:, None]
    user, place = np.nonzero(chosen)
    return Events(
        user=user.astype(np.int32),
        item=order[user, place].astype(np.int32),
        rating=None,
        time=place.astype(np.float64),
        user_ids=[str(number) for number in range(users)],
        item_ids=[str(number) for number in range(items)],
        name=NAME if population == "broad" else f"{NAME}-{population}",
        counts=Counts(read=len(user)),
    )
