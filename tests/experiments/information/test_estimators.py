"""Which estimators are meant."""

import pytest

from experiments.information.estimators import named
from train.errors import UserError
from train.steps.mi_estimators import CLUBStudy, PooleStudy


def names(*asked):
    return set(named(asked, CLUBStudy(), PooleStudy()))


def test_a_study_is_all_of_its_estimators_and_all_is_both():
    club, poole = names("club"), names("poole")
    assert club and poole and not club & poole
    assert names("all") == names("club", "poole") == club | poole
    assert all(name.startswith("club/") for name in club)


def test_one_of_a_study():
    assert names("club/CLUB") == {"club/CLUB"}
    assert names("club/CLUB", "club") == names("club")


@pytest.mark.parametrize("asked", ["CLUB", "club/", "Club"])
def test_an_unknown_name_is_an_error_that_lists_the_known(asked):
    with pytest.raises(UserError, match="is unknown; choose from all, club, poole, club/NWJ, "):
        names(asked)
