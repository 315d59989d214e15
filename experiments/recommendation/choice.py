"""How many validation examples a choice was made on, said beside every choice, and when they decide nothing."""

from typing import NamedTuple

from experiments import cli

ENOUGH = 100
"""Cases from which a choice is trusted: the 95 % interval of a mean of numbers in [0, 1] over n independent cases is up
to 1 / sqrt(n) wide to either side, here 0.1."""


class Evidence(NamedTuple):
    """The validation examples of a choice.

    Attributes:
      cases: how many users or sessions.
      case: what one is called, in the singular.
      events: how many items or events were to be found.
    """

    cases: int
    case: str
    events: int

    def __str__(self) -> str:
        return f"{_count(self.cases, self.case)} with {_count(self.events, 'event')} to be found"

    def warning(self) -> str | None:
        """A sentence where there are too few to choose by."""
        if self.cases >= ENOUGH:
            return None
        width = 1 / max(1, self.cases) ** 0.5
        return (
            f"The choice on validation data is made on {self}: too few to decide anything. "
            f"The 95 % interval of such a mean can reach {width:.2f} to either side."
        )


def announce(what: str, evidence: Evidence) -> None:
    """Says on what something is chosen, and warns where that is too little."""
    cli.say(f"{what} on {evidence}")
    if warning := evidence.warning():
        cli.say(f"warning: {warning}")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
