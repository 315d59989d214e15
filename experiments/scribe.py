"""Run as a program of its own: passes standard input on, but of a lost process says one line, not a C++ stack."""

import re
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

_BEGIN = re.compile(r"coordination[_ ]?service|CoordinationService|distributed service detected")
_LOST = re.compile(r"unhealthy|Socket closed|fatal error|leader task|PollForError|Polled an error")


def main() -> None:
    """Until the program whose standard error this is has ended, however it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        copy(sys.stdin, sys.stdout)
    except OSError:
        for _ in sys.stdin:  # a reader that went away must not stop the program
            pass


def copy(lines: Iterable[str], out: TextIO) -> None:
    """Passes lines on, and holds back from the first one of JAX's watch over the processes on."""
    held: list[str] = []
    resume, told = "start all of them again", False
    for line in lines:
        if line.startswith("\0"):
            word, _, text = line[1:].strip().partition(" ")
            resume, told = (text, told) if word == "resume" else (resume, True)
        elif held or _BEGIN.search(line):
            held.append(line)
        else:
            out.write(line)
            out.flush()
    text = "".join(held)
    if not _LOST.search(text):
        out.write(text)
    elif not told:
        out.write(f"error: {lost_line(named(text), resume)}\n")
    out.flush()


def named(text: str) -> list[int]:
    """The processes that the watch calls lost."""
    if re.search(r"leader task|Socket closed", text):
        return [0]
    listed = re.search(r"stopped sending heartbeats\)?:?\s*((?:/?[\w:/]*\d+[\s,]*)+)", text)
    return sorted({int(number) for number in re.findall(r"\d+", listed[1])}) if listed else []


def lost_line(gone: Sequence[int], command: str) -> str:
    """What is said of processes that are gone, or of one that nobody can name."""
    numbers = ", ".join(map(str, gone))
    who = f"processes {numbers} are gone" if len(gone) > 1 else f"process {numbers} is gone"
    who = who if gone else "another process is gone"
    return f"{who}, and training can't go on without; what was saved is intact: {command}"


if __name__ == "__main__":
    main()
