"""Sessions of simulated visitors: tastes, popular items, and habits of what follows what.

Items belong to topics and are popular by a power law of their rank. A visitor has one taste, a topic, and looks at
items one after the other: at a follower of the current item (each item has a few, some of its own topic and some of
others), at an item of the session seen before, or at any item of the taste. Followers are what a first-order Markov
chain can learn, the taste takes the whole session, and popularity alone predicts little. Sessions arrive at a
constant rate; their lengths are geometric, at least two.
"""

import numpy as np
from jaxtyping import Float, Int

from train.data.sessions import DAY, SessionLog

SKEW = 0.8
TOPICS = 25
FOLLOWERS = 6
SAME_TOPIC = 0.5
FOLLOW, REPEAT = 0.5, 0.12
STOP = 0.25
LONGEST = 40
PAUSE = 60.0


def simulated_sessions(
    sessions: int = 12_000, items: int = 1_000, days: int = 10, seed: int = 0
) -> SessionLog:
    """A log of events in order; the same numbers for the same arguments.

    Args:
      sessions: how many.
      items: of the catalogue; those that nobody looks at don't occur.
      days: over which sessions begin.
      seed: of everything.
    """
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, TOPICS, items)
    popularity = (1 + rng.permutation(items)) ** -SKEW
    followers = _followers(rng, topic, popularity)
    taste = rng.integers(0, TOPICS, sessions)
    length = np.minimum(1 + rng.geometric(STOP, sessions), LONGEST)
    seen = np.zeros((sessions, LONGEST), np.int64)
    seen[:, 0] = _of_topic(rng, taste, topic, popularity)
    for place in range(1, LONGEST):
        choice = rng.random(sessions)
        current = seen[:, place - 1]
        followed = followers[current, _early(rng, sessions)]
        repeated = seen[np.arange(sessions), rng.integers(0, place, sessions)]
        fresh = _of_topic(rng, taste, topic, popularity)
        seen[:, place] = np.select([choice < FOLLOW, choice < FOLLOW + REPEAT], [followed, repeated], fresh)
    begin = np.sort(rng.random(sessions)) * days * DAY
    time = begin[:, None] + np.cumsum(rng.exponential(PAUSE, (sessions, LONGEST)), axis=1)
    there = np.arange(LONGEST) < length[:, None]
    return SessionLog(np.repeat(np.arange(sessions), length), seen[there], np.floor(time[there]))


def _followers(
    rng: np.random.Generator, topic: Int[np.ndarray, " items"], popularity: Float[np.ndarray, " items"]
) -> Int[np.ndarray, "items followers"]:
    """Of each item those that often come next, the first ones most."""
    items = len(topic)
    near = np.stack([_of_topic(rng, topic, topic, popularity) for _ in range(FOLLOWERS)], axis=1)
    far = rng.choice(items, (items, FOLLOWERS), p=popularity / popularity.sum())
    return np.where(rng.random((items, FOLLOWERS)) < SAME_TOPIC, near, far)


def _early(rng: np.random.Generator, count: int) -> Int[np.ndarray, " count"]:
    """Which follower: each half as likely as the one before, the last one takes the rest."""
    return np.minimum(rng.geometric(0.5, count) - 1, FOLLOWERS - 1)


def _of_topic(
    rng: np.random.Generator,
    wanted: Int[np.ndarray, " n"],
    topic: Int[np.ndarray, " items"],
    popularity: Float[np.ndarray, " items"],
) -> Int[np.ndarray, " n"]:
    """For each wanted topic an item of it by popularity; any item where a topic has none."""
    drawn = rng.choice(len(topic), len(wanted), p=popularity / popularity.sum())
    for one in np.unique(wanted):
        inside, asking = np.flatnonzero(topic == one), np.flatnonzero(wanted == one)
        if len(inside):
            chances = popularity[inside] / popularity[inside].sum()
            drawn[asking] = rng.choice(inside, len(asking), p=chances)
    return drawn
