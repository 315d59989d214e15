"""A lost process is one line; everything else passes."""

import io

import pytest

from experiments.scribe import copy, lost_line, named

LEADER = "E1127 coordination_service_agent.cc:289] Polled an error; the leader task was preempted/died\n"
HEARTBEATS = (
    "E1127 coordination_service.cc:9] error polling: UNAVAILABLE: The following tasks are unhealthy "
    "(stopped sending heartbeats):\n1\nThe tasks have crashed. Check the task logs\n"
)
STACK = "    @     0x7f0fcc09a82e  std::_Function_handler<>::_M_invoke()\n"


def copied(*lines):
    out = io.StringIO()
    copy([line + "\n" for text in lines for line in text.splitlines()], out)
    return out.getvalue()


@pytest.mark.parametrize(("text", "who"), [(LEADER, "process 0 is gone"), (HEARTBEATS, "process 1 is gone")])
def test_a_stack_becomes_a_line(text, who):
    said = copied("step 1", "\0resume start it with --resume RUN", text, STACK)
    assert said.startswith("step 1\nerror: " + who) and said.endswith("--resume RUN\n")
    assert "0x7f" not in said and len(said.splitlines()) == 2


def test_what_was_told_already_is_not_told_again():
    assert copied("step 1", LEADER, "\0done ") == "step 1\n"


def test_other_crashes_and_warnings_pass():
    assert copied("Fatal Python error: Segmentation fault", STACK) == (
        "Fatal Python error: Segmentation fault\n" + STACK
    )
    assert copied("W coordination_service.cc:185] Using a feature", "the end") == (
        "W coordination_service.cc:185] Using a feature\nthe end\n"
    )


def test_names():
    assert named("stopped sending heartbeats):\n1\n3\nThe tasks") == [1, 3]
    assert lost_line([], "again").startswith("another process is gone")
    assert lost_line([1, 3], "again").startswith("processes 1, 3 are gone")
