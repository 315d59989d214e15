import pytest

from experiments.recommendation.choice import ENOUGH, Evidence, announce


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(7, "session", 12), "7 sessions with 12 events to be found"),
        (Evidence(1, "user", 1), "1 user with 1 event to be found"),
        (Evidence(12_345, "user", 67_890), "12,345 users with 67,890 events to be found"),
    ],
)
def test_what_is_said(evidence, said, capsys):
    announce("the number of epochs is chosen", evidence)
    assert f"the number of epochs is chosen on {said}\n" in capsys.readouterr().err


@pytest.mark.parametrize("cases", [0, 1, 7, ENOUGH - 1, ENOUGH, 10**6])
def test_too_few_are_warned_about(cases, capsys):
    evidence = Evidence(cases, "session", 3 * cases)
    announce("a choice", evidence)
    assert ("warning: " in capsys.readouterr().err) == (cases < ENOUGH)
    assert (evidence.warning() is not None) == (cases < ENOUGH)


def test_the_warning_says_how_wide_the_interval_is():
    assert "0.50" in str(Evidence(4, "user", 9).warning())
