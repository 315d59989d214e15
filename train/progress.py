"""What the person in front of the terminal sees while a run trains."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm


class Progress:
    """A tqdm bar on a terminal, a plain line every `seconds` elsewhere; silent on all processes but the first."""

    def __init__(self, total: int, start: int, seconds: float = 10.0):
        self._total, self._start, self._seconds = total, start, seconds
        self._made, self._began, self._last = time.monotonic(), 0.0, -float("inf")
        self._silent = jax.process_index() != 0
        terminal = sys.stderr.isatty() and not self._silent
        self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True) if terminal else None

    def update(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Shows the step that was reached and some of its metrics, each the mean over seeds."""
        if not self._began:  # the first update comes after compilation
            self._began, self._start = time.monotonic(), step
            self.say(f"first step after {self._began - self._made:.1f} s, compilation included")
        shown = {name: f"{np.mean(metrics[name]):.4g}" for name in metrics if name.startswith("loss")}
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix(shown, refresh=False)
            return
        now = time.monotonic()
        if now - self._last >= self._seconds or step >= self._total:
            self._last = now
            rate = f"  {(step - self._start) / (now - self._began):.2f} steps/s" if step > self._start else ""
            terms = "  ".join(f"{name} {value}" for name, value in shown.items())
            self.say(f"step {step}/{self._total}{rate}  {terms}")

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif not self._silent:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
