"""Stopping in good order: on Ctrl-C or SIGTERM the loop ends its step, saves, and says how to continue."""

import shlex
import signal
import threading
from types import FrameType
from typing import Any

from train.run_directory import RunDirectory

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A context in which Ctrl-C and SIGTERM only leave a note; a second Ctrl-C raises KeyboardInterrupt.

    Outside the main thread, where Python takes no handlers, it does nothing.

    Attributes:
      requested: the name of the signal that came last, or None.
    """

    def __init__(self):
        self.requested: str | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._note) for s in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None is a handler that wasn't set from Python: it can't be put back, the default can.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested == "SIGINT":
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name


class Interrupted(Exception):
    """A run was stopped by a signal, and saved.

    Args:
      signal_name: SIGINT or SIGTERM.
      step: the step that was saved just now; None where nothing had to be.
      run_dir: the run.

    Attributes:
      exit_code: 128 + the number of the signal, as in shells: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signal_name: str, step: int | None, run_dir: RunDirectory):
        self.signal_name, self.step, self.run_dir = signal_name, step, run_dir
        self.exit_code = 128 + signal.Signals[signal_name]
        command = f"python -m experiments.{run_dir.experiment} --resume {shlex.quote(str(run_dir.path))}"
        saved = "" if step is None else f", saved at step {step}"
        super().__init__(f"stopped by {signal_name}{saved}; to continue: {command}")
