"""Logs for tests, written short."""

import numpy as np

from train.data.sessions import SessionLog


def log_of(events: str) -> SessionLog:
    """ "1a3 2b4": item a of session 1 at second 3, item b of session 2 at second 4."""
    parts = [(int(e[0]), e[1], float(e[2:])) for e in events.split()]
    session, item, time = zip(*parts, strict=True)
    return SessionLog(np.array(session), np.array(item), np.array(time))


def random_log(sessions=30, items=12, longest=7, seed=0) -> SessionLog:
    """Sessions of 2 to `longest` events that begin at different seconds, in an order of its own."""
    rng = np.random.default_rng(seed)
    length = rng.integers(2, longest + 1, sessions)
    session = np.repeat(np.arange(sessions), length)
    begin = 100.0 * rng.permutation(sessions)
    place = np.arange(len(session)) - np.repeat(np.cumsum(length) - length, length)
    return SessionLog(session, rng.integers(0, items, len(session)), begin[session] + place)
