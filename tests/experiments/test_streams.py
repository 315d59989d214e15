"""Printing never fails."""

import io
import os
import sys

import pytest

from experiments.streams import Forgiving, forgiving


def test_a_narrow_stream_gets_escapes():
    raw = io.BytesIO()
    stream = Forgiving(io.TextIOWrapper(raw, encoding="ascii"))
    print("a ± b", file=stream, flush=True)
    assert raw.getvalue() == b"a \\xb1 b\n" and stream.failure is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_stream_is_remembered_and_harmless():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        stream = Forgiving(full)
        for _ in range(3):
            print("x" * 100_000, file=stream, flush=True)
        assert stream.failure is not None and stream.failure.errno == 28


def test_a_reader_that_went_away_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        stream = Forgiving(pipe)
        print("x" * 100_000, file=stream, flush=True)
        print("x", file=stream, flush=True)
        assert stream.failure is None


def test_closed_and_absent_streams(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", closed)
    with forgiving() as output:
        print("x", flush=True)
        print("x", file=sys.stderr, flush=True)
        assert output.failure is None
    assert sys.stdout is None and sys.stderr is closed
