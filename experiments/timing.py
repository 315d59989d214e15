"""Timing programs beside each other, in one run."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Seconds:
    """Of one call: by the clock, and of all cores together."""

    wall: float
    cpu: float


def timed(programs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Seconds]:
    """Medians over calls that take turns, after one of each that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(repeats + 1):
        for name, program in programs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(program())
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Seconds(*map(statistics.median, zip(*calls[1:], strict=True))) for name, calls in taken.items()
    }


def machine() -> str:
    """The devices and versions that a time is of."""
    versions = f"jax {jax.__version__}, Python {sys.version.split()[0]}"
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}, {versions}"
