"""Before the modules of a command are imported, which takes seconds: Ctrl-C, and names that others use too."""

import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

PACKAGES = ("jaxmodels", "objectives", "train")
ROOT = Path(__file__).resolve().parent.parent


def begin() -> None:
    """For `python -m experiments.NAME` alone; anyone else who imports the package keeps what they have."""
    if sys.argv[:1] == ["-m"]:  # what Python puts there while it imports the package of a module to run
        stop_quietly()
        fill_streams()
        find_ours()


def stop_quietly() -> None:
    """Until `cli.main` begins, Ctrl-C ends the program with one line and exit code 130.

    A program that was started with the signal ignored goes on ignoring it.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def fill_streams() -> None:
    """Opens standard streams that are closed: the next file would take their number, and get what is printed there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def over() -> None:
    """Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def find_ours(root: Path = ROOT) -> None:
    """Where the working folder holds another train.py or objectives/, our packages are found before them."""
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != root:
            sys.path.insert(0, str(root))
            return


def _end(number: int, _: FrameType | None) -> None:
    # No exception: half imported extension modules turn it into errors of their own, or swallow it.
    try:
        os.write(2, b"stopped before anything had begun\n")
    finally:
        os._exit(128 + number)
