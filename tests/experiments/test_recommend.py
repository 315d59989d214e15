"""Histories and mistakes, with a recommender that knows places alone; a trained one is in test_multvae_movielens."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import cli, recommend
from experiments.recommendation.serving import Recommender, RecommendingSystem
from train.errors import UserError
from train.run_directory import create_run


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    def scores(histories):
        return np.tile(np.arange(3.0), (len(histories), 1))

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    monkeypatch.setattr(
        recommend, "open_recommender", lambda *_: Recommender(["7", "8", "9"], scores, "b", ["a", "b"])
    )
    return [str(tmp_path / "run"), "--user-history", str(tmp_path / "history.csv")]


@pytest.mark.parametrize("header", ["user,item", '"user","item"', '"user"; item;time', "item\tuser"])
def test_headers(header, tmp_path):
    separator = max(",;\t", key=header.count)
    row = separator.join(("8", "8", "1")[: header.count(separator) + 1])
    (tmp_path / "history.csv").write_text(f"{header}\n{row}\n")
    found = recommend.read_histories(tmp_path / "history.csv", ["7", "8", "9"])
    assert found.users == ["8"] and found.items == [[1]]


def test_the_model_that_answers_is_named(arguments, tmp_path, capsys):
    (tmp_path / "history.csv").write_text("user,item\nann,9\n")
    recommend.main(arguments)
    assert "b recommends, of a, b (--model)" in capsys.readouterr().err


class Loaded(RecommendingSystem):
    """Its state says by which checkpoint it serves."""

    def load(self, run, which):
        return {"which": np.asarray([which, "of the second seed"])}


def test_only_models_of_the_run_can_be_asked(tmp_path, monkeypatch):
    unused: Any = dict.fromkeys(("task", "config", "limits", "names"))
    served: Any = {"item_ids": ["7"], "recommender": lambda state: str(state["which"]), **unused}
    systems = {
        "a": Loaded(name="a", title="A", **served),
        "b": Loaded(name="b", title="B", only="last", **served),
    }
    experiment = SimpleNamespace(
        saved=lambda run: cli.RunConfig(seeds=2, seed=4),
        systems=lambda config, run: systems,
        serving=lambda config, run: "b",
    )
    monkeypatch.setattr(recommend, "experiment_of", lambda run: experiment)
    run = create_run("toy", {}, tmp_path / "run").path
    assert recommend.open_recommender(run, "best", None) == (["7"], "last", "b", ["a", "b"])
    assert recommend.open_recommender(run, "best", None, "a") == (["7"], "best", "a", ["a", "b"])
    assert recommend.open_recommender(run, "best", 5, "a").scores == "of the second seed"
    with pytest.raises(UserError, match=r"^--model = c: is not a model of this run; choose a, b$"):
        recommend.open_recommender(run, "best", None, "c")
    with pytest.raises(UserError, match="--seed = 7"):
        recommend.open_recommender(run, "best", 7)


def test_what_comes_out(arguments, tmp_path):
    (tmp_path / "history.csv").write_text("user,item\nann,9\n")
    recommend.main([*arguments, "--out", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text() == "user,rank,item,score\nann,1,8,1\nann,2,7,0\n"


@pytest.mark.parametrize(
    ("content", "out", "expected"),
    [
        (b"user,item\nann,8,1\n", "out.csv", r"^--user-history = .*history\.csv: row 1 has 3 fields"),
        (b"user,item\n\xff,8\n", "out.csv", r"^--user-history = .*history\.csv: line 2 is not UTF-8"),
        (
            b"user,item\n" + b"7" * 5000 + b",8\n",
            "out.csv",
            r"^--user-history = .*line 2 .*'user' an id of 5,000",
        ),
        (b"user,item," + b"h" * 200_000 + b"\n1,8,3\n", "out.csv", r"^--user-history = .*line 1 .* column 3"),
        (b"[" * 1000, "out.csv", r"^--user-history = .*has no column 'user'"),
        (b"[" * 200_000, "out.csv", r"^--user-history = .*line 1 has more than 131,072 characters"),
        ("user,item\nann,8\n".encode("utf-16"), "out.csv", r"^--user-history = .*is text in UTF-16"),
        (b'user,item\nann,"8\n', "out.csv", r"^--user-history = .*line 2: a quote .* is not closed"),
        (b"user,item,time\nann,8,soon\n", "out.csv", r"^--user-history = .*'time' 'soon', which is not a"),
        (b"user,item,time\nann,8,nan\n", "out.csv", r"^--user-history = .*not finite"),
        (
            b"ann,8\nbob,9\n",
            "out.csv",
            r"^--user-history = .*its first line is not a header .*user,item,time$",
        ),
        (b"visitor,item\nbob,9\n", "out.csv", r"^--user-history = .*'user', only visitor, item; .*user,item"),
        (b"user,item,item\nbob,9,8\n", "out.csv", r"^--user-history = .*has 2 columns 'item'"),
        (b"user,item\n", "out.csv", r"^--user-history = .*holds no event"),
        (b"user,item\n,8\nann,\n", "out.csv", r"^--user-history = .*holds no event"),
        (
            b"user,item\nann,1\nbob,2\n",
            "out.csv",
            r"^--user-history = .*no user with an item that training saw",
        ),
        (b"", "out.csv", r"^--user-history = .*is empty"),
        (b"user,item\nann,8\n", ".", r"^--out = .*: is a folder"),
        (b"user,item\nann,8\n", "x" * 250, r"^--out = .*; .*name another$"),
    ],
)
def test_mistakes_name_their_flag(content, out, expected, arguments, tmp_path):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        recommend.main([*arguments, "--out", str(tmp_path / out)])
    assert not (tmp_path / "out.csv").exists()


def test_what_is_left_out_of_histories_is_said(arguments, tmp_path, capsys):
    """Repeated items count once, users without a known item are named, and the order is that of time."""
    lines = ("ann,8,2014-04-07T10:00:00Z", "ann,8,2014-04-06", "ann,77,2014-04-05", "bob,99,2014-04-05")
    more = ("eve,,2014-04-05", ",8,2014-04-05", "ann,7,2014-04-04")
    text = "\ufeffuser,item,time\r\n" + "\r\n".join([*lines, *more])
    (tmp_path / "history.csv").write_bytes(text.encode())
    found = recommend.read_histories(tmp_path / "history.csv", ["7", "8", "9"])
    assert found == recommend.Histories(["ann"], [[0, 1, 1]], 2, ["bob", "eve"], 2)
    recommend.main([*arguments, "--out", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text() == "user,rank,item,score\nann,1,9,2\n"
    said = capsys.readouterr().err
    for words in ("2 lines left out", "2 events left out", "2 users left out", "(bob, eve)"):
        assert words in said
