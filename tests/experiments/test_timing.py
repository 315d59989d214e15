"""Programs are timed in turn."""

from experiments.timing import timed


def test_calls_take_turns_and_the_first_does_not_count():
    called = []
    seconds = timed({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, repeats=2)
    assert called == ["a", "b"] * 3 and set(seconds) == {"a", "b"}
