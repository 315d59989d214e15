"""The metrics log: valid JSON whatever the numbers, and the past of a resumed run unchanged."""

import json
import resource
import signal
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from train.errors import UserError
from train.metrics_log import MetricsLog, read_metrics, tensorboard_writer


def logged(path: Path, *steps: int, resumed_at: int = -1) -> Path:
    log = MetricsLog(path, resumed_at)
    for step in steps:
        log.write(step, {"loss": 1 / (step + 1)})
    log.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_reads_what_was_written(path: Path):
    log = MetricsLog(path)
    log.write(0, {"loss": 0.1, "seeds": [1.0, 2.0]})
    log.write(10, {"loss": jnp.float32(0.1), "seeds": jnp.array([3.0, 4.0]), "psnr": np.float64(18.4)})
    found = read_metrics(path)
    assert list(found) == ["loss", "seeds", "psnr"]
    np.testing.assert_array_equal(found["loss"][0], [0, 10])
    np.testing.assert_array_equal(found["loss"][1], [0.1, np.float32(0.1)])
    np.testing.assert_array_equal(found["seeds"][1], [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(found["psnr"][0], [10])
    log.close()


def test_numbers_that_json_lacks_stay_valid_json(path: Path):
    values = [np.nan, np.inf, -np.inf, 1.0]
    log = MetricsLog(path)
    log.write(1, {"all": values, "one": np.nan})
    log.close()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = json.loads(path.read_text(), parse_constant=refuse)
    assert line == {"step": 1, "all": ["NaN", "Infinity", "-Infinity", 1.0], "one": "NaN"}
    np.testing.assert_array_equal(read_metrics(path)["all"][1], [values])


def test_a_line_is_in_the_file_at_once(path: Path):
    log = MetricsLog(path)
    log.write(1, {"loss": 2.0})
    assert path.read_text() == '{"step": 1, "loss": 2.0}\n'
    log.close()


def test_resuming_keeps_the_past_byte_for_byte(path: Path):
    whole = logged(path, 0, 5, 10, 15).read_text()
    logged(path, 15, resumed_at=10)
    assert path.read_text() == whole


@pytest.mark.parametrize(
    "end", ['{"step": 20, "lo', '{"step": 5}', '{"loss": 1}\n', "null\n", "\x00\x00\n", '"a"\n']
)
def test_a_torn_last_line_is_passed_over_and_dropped(path: Path, end: str):
    whole = logged(path, 0, 5).read_text()
    path.write_text(whole + end)
    np.testing.assert_array_equal(read_metrics(path)["loss"][0], [0, 5])
    logged(path, 6, resumed_at=5)
    np.testing.assert_array_equal(read_metrics(path)["loss"][0], [0, 5, 6])
    assert path.read_text().startswith(whole)


def test_a_new_run_begins_an_empty_log(path: Path):
    logged(path, 0, 5)
    logged(path)
    assert read_metrics(path) == {}


def test_a_log_that_is_not_there_is_empty(path: Path):
    assert read_metrics(path) == {}


def test_a_full_disk_is_told_and_the_log_stays_readable(path: Path):
    log = MetricsLog(path)
    log.write(0, {"loss": 1.0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        with pytest.raises(UserError, match=f"metrics log = {path}: can't be written .*--resume"):
            log.write(1, {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    log.close()
    np.testing.assert_array_equal(read_metrics(path)["loss"][0], [0])


def test_tensorboard_writes_events_for_each_seed(tmp_path: Path):
    pytest.importorskip("tensorboardX")
    writer = tensorboard_writer(tmp_path, resumed_at=3)
    writer.write(4, {"loss": jnp.float32(0.5), "seeds": [1.0, 2.0]})
    writer.close()
    (events,) = tmp_path.glob("events.*")
    assert all(tag in events.read_bytes() for tag in (b"loss", b"seeds/seed0", b"seeds/seed1"))


def test_tensorboard_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install '\.\[tensorboard\]'"):
        tensorboard_writer(tmp_path)


GOOD = '{"step": 1, "loss": 2.0, "seeds": [1.0, 2.0]}'


@pytest.mark.parametrize(
    "bad",
    [
        b'{"step": "x", "loss": 1.0}',
        b'{"step": null}',
        b'{"step": true, "loss": 1.0}',
        b'{"step": -1, "loss": 1.0}',
        b'{"step": 1e3, "loss": 1.0}',
        b'{"step": 99999999999999999999, "loss": 1.0}',
        b'{"loss": 1.0}',
        b'{"step": 2, "loss": "much"}',
        b'{"step": 2, "loss": null}',
        b'{"step": 2, "loss": true}',
        b'{"step": 2, "loss": {"a": 1}}',
        b'{"step": 2, "loss": 1' + b"0" * 400 + b"}",
        b'{"step": 2, "loss": 1' + b"0" * 5000 + b"}",
        b'{"step": 2, "seeds": [1.0]}',
        b'{"step": 2, "seeds": 1.0}',
        b'{"step": 2, "loss": [1.0]}',
        b'{"step": 2, "seeds": [1.0, [2.0]]}',
        b'{"step": 2, "seeds": [1.0, null]}',
        b"[1, 2]",
        b"3",
        b'"step"',
        b"",
        b"\xff\xfe\x00",
        b'{"step": 2, "loss": 1.0}\x00',
        b"[" * 100_000,
        b'{"step": 2, "loss": 1.0',
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_bad_line_is_named_and_passed_over(path: Path, bad: bytes, caplog: pytest.LogCaptureFixture):
    last = '{"step": 3, "loss": 1.0, "seeds": [3.0, 4.0]}'
    path.write_bytes(b"\n".join([GOOD.encode(), bad, last.encode(), b""]))
    found = read_metrics(path)
    np.testing.assert_array_equal(found["loss"][0], [1, 3])
    np.testing.assert_array_equal(found["seeds"][1], [[1, 2], [3, 4]])
    assert len(caplog.messages) == 1 and "1 line is passed over, first line 2" in caplog.messages[0]
    assert len(caplog.messages[0]) < 400 + len(str(path))
    MetricsLog(path, resumed_at=2).close()
    assert path.read_text() == GOOD + "\n"


def test_bad_lines_are_counted(path: Path, caplog: pytest.LogCaptureFixture):
    path.write_text("x\n" * 7 + GOOD + "\n")
    assert list(read_metrics(path)) == ["loss", "seeds"]
    assert "7 lines are passed over, first line 1" in caplog.messages[0]


def test_a_folder_in_its_place_is_a_user_error(path: Path):
    path.mkdir()
    for use in (read_metrics, MetricsLog):
        with pytest.raises(UserError, match=r"metrics\.jsonl: can't be read"):
            use(path)


WHOLE = [f'{{"step": {i}, "loss": [{i}.0, 2.0]}}\n' for i in range(1, 6)]


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(
    "bad",
    [
        '{"step": 1, "loss": 3.0}\n',
        '{"step": 1, "loss": [1.0, 2.0, 3.0]}\n',
        '{"step":0,"lo\rss":3.0}\n',
        "?\n",
    ],
)
def test_a_bad_line_costs_no_good_one(tmp_path, caplog, bad, place):
    path = tmp_path / "metrics.jsonl"
    lines = [*WHOLE[:place], bad, *WHOLE[place:]]
    path.write_text("".join(lines), newline="")
    steps, values = read_metrics(path)["loss"]
    assert steps.tolist() == [1, 2, 3, 4, 5] and values[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert f"first line {place + 1}" in caplog.text
    MetricsLog(path, resumed_at=5).close()
    assert path.read_bytes().decode() == "".join(lines)
