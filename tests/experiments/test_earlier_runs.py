"""A run that version 93f867f made, before runs had sessions: it is measured again, goes on, and serves."""

import json
import pathlib
import zipfile

import numpy as np
import pytest

from experiments import evaluate, multvae_movielens, recommend
from train.metrics_log import read_metrics

RUN = pathlib.Path(__file__).parent / "earlier" / "multvae_before_sessions.zip"


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    with zipfile.ZipFile(RUN) as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


def models(folder):
    return json.loads((folder / "results.json").read_text())["models"]


def same(folder, before):
    after = models(folder)
    assert list(after) == list(before) and (folder / "report.html").is_file()
    for name, model in before.items():
        for metric in ("ndcg@100", "recall@20"):
            np.testing.assert_allclose(after[name][metric]["seeds"], model[metric]["seeds"], rtol=1e-5)


def test_it_is_measured_to_the_same_numbers(earlier):
    before = models(earlier)
    evaluate.main([str(earlier)])
    same(earlier, before)


def test_it_goes_on_to_the_same_end(earlier):
    """Half of its updates are in the checkpoint; the log and the results are of all."""
    before, logged = models(earlier), read_metrics(earlier / "vae" / "metrics.jsonl")
    multvae_movielens.main(["--resume", str(earlier)])
    same(earlier, before)
    for name, (steps, values) in read_metrics(earlier / "vae" / "metrics.jsonl").items():
        np.testing.assert_array_equal(steps, logged[name][0], err_msg=name)
        np.testing.assert_allclose(values, logged[name][1], rtol=1e-5, err_msg=name)


def test_it_serves(earlier):
    scores = recommend.open_recommender(earlier, "best", 0).scores([[0, 3]])
    assert scores.shape == (1, len(json.loads((earlier / "catalogue.json").read_text())["items"]))
    assert np.isfinite(scores).all()
