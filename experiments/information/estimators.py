"""Estimators of mutual information by the names of the command line."""

from collections.abc import Sequence

from train.errors import UserError
from train.steps.mi_estimators import CLUBStudy, Estimator, PooleStudy, club_study, poole_study


def named(names: Sequence[str], club: CLUBStudy, poole: PooleStudy) -> dict[str, Estimator]:
    """The estimators that are named: `all`, a study (`club`), or one of its estimators (`club/CLUB`).

    Raises:
      UserError: a name is unknown.
    """
    studies = {"club": club_study(club), "poole": poole_study(poole)}
    known = {f"{study}/{name}": item for study, items in studies.items() for name, item in items.items()}
    wanted = set()
    for name in names:
        meant = {one for one in known if name in ("all", one, one.partition("/")[0])}
        if not meant:
            remedy = f"choose from all, {', '.join((*studies, *known))}"
            raise UserError("--estimators", name, "is unknown", remedy)
        wanted |= meant
    return {name: item for name, item in known.items() if name in wanted}
