import json
import math

import numpy as np
import pytest

from experiments.recommendation.report import (
    Published,
    Ranked,
    comparison,
    findings,
    headline,
    numbers,
    published_table,
)
from train.metrics.intervals import mean_interval
from train.report.report import Section
from train.report.tables import Interval
from train.run_directory import create_run

NAN = np.nan
MODELS = (
    Ranked("baseline", {"ndcg@10": np.array([[0.2, NAN, 0.4, 0.1]])}, "k 20"),
    Ranked("model", {"ndcg@10": np.array([[0.3, NAN, 0.5, 0.2], [0.5, NAN, 0.5, 0.4]])}),
)


def test_intervals_over_users_and_over_seeds():
    users, seeds = comparison("title", MODELS, ["ndcg@10"])
    assert users.columns == seeds.columns == ["", "ndcg@10"]
    assert users.remarks == ["baseline: k 20."]
    (_, model), (row,) = users.rows, seeds.rows
    for cell, values in ((model[1], [0.4, 0.5, 0.3]), (row[1], [1.0 / 3, 1.4 / 3])):
        mean, half = mean_interval(np.array(values))
        assert isinstance(cell, Interval) and cell.n == len(values)
        np.testing.assert_allclose([cell.mean, cell.half_width], [mean, half], rtol=1e-9)
    assert row[0] == "model"


def test_one_seed_has_no_table_of_seeds():
    (table,) = comparison("title", MODELS[:1], ["ndcg@10"], case="prediction")
    assert "over predictions" in table.note


def test_published_numbers_are_set_apart_with_their_data_in_every_row():
    published = {name: Published("the paper", "ML-20M", {"ndcg@10": 0.4, "other": 1.0}) for name in "ab"}
    table = published_table(published, ["ndcg@10", "recall"])
    assert table.apart and "ML-20M" in table.caption
    assert [row[:4] for row in table.rows] == [[name, "ML-20M", "the paper", 0.4] for name in "ab"]
    assert all(isinstance(row[4], float) and math.isnan(row[4]) for row in table.rows)


def test_models_are_compared_on_the_same_cases():
    other = Ranked("other", {"ndcg@10": np.array([[0.2, 0.3, 0.4, 0.1]])})
    with pytest.raises(ValueError, match="different cases"):
        comparison("title", [MODELS[0], other], ["ndcg@10"])
    with pytest.raises(ValueError, match="has no recall"):
        comparison("title", MODELS, ["recall"])


def test_what_came_out(tmp_path, capsys):
    run = create_run("test", {}, tmp_path / "run")
    run.figures.mkdir()
    more, published = Section("More", ["text"]), {"model": Published("the paper", "ML-20M", {"ndcg@10": 0.4})}
    words = {"summary": ["It came out."], "notes": ["A note."], "published": published}
    found = findings(run, "A title", MODELS, ["ndcg@10"], sections=[more], results={"data": "here"}, **words)
    assert found.title == "A title" and found.notes == ["A note."]
    assert found.summary == [*headline(MODELS, "ndcg@10"), "It came out."]
    assert found.results == {"data": "here", "models": numbers(MODELS)}
    assert found.results["models"]["model"]["ndcg@10"]["cases"] == 3
    assert "Highest ndcg@10: model, 0.4000." in capsys.readouterr().err
    first, second = found.sections
    assert second is more and first.tables == found.printed == [
        *comparison("A title", MODELS, ["ndcg@10"]),
        published_table(published, ["ndcg@10"]),
    ]
    assert [picture.path for picture in first.pictures] == [run.figures / "comparison.png"]


def test_what_no_case_defines_is_none():
    model = Ranked("model", {"tail": np.full((2, 3), NAN), "head": np.array([[0.5, NAN], [NAN, NAN]])})
    found = json.loads(json.dumps(numbers([model]), allow_nan=False))["model"]
    assert found["tail"] == {"mean": None, "half_width": None, "cases": 0, "seeds": [None, None]}
    assert found["head"] == {"mean": None, "half_width": None, "cases": 0, "seeds": [0.5, None]}


def of(name, values, baseline=False):
    return Ranked(name, {"m": np.asarray(values, float)}, baseline=baseline)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (
            [[0.1, 0.2, 0.3]],
            "No trained model is better than a baseline: m of trained 0, the best, is 0.2000",
        ),
        ([[0.3, 0.4, 0.5]], "No trained model is better"),  # as good is not better
        ([[0.1, 0.2, 0.3], [0.2, 0.3, 0.3]], "m of trained 1, the best"),
        ([[0.9, 0.1, 0.3]], "The best trained model can't be told from a baseline: m of trained 0 is 0.4333"),
        ([[0.5, 0.61, 0.7]], None),
    ],
)
def test_a_headline_says_where_a_baseline_is_as_good(models, said):
    every = [of("KNN", [[0.3, 0.4, 0.5]], True), of("pop", [[0.0, 0.1, 0.0]], True)]
    every += [of(f"trained {n}", [values]) for n, values in enumerate(models)]
    found = headline(every, "m")
    assert len(found) == (1 if said is None else 2)
    assert said is None or (said in found[0] and "KNN" in found[0])
    assert found[-1].startswith("Highest m: ")


def test_a_headline_without_baselines_or_without_models():
    one = of("one", [[0.3, NAN]])
    assert (
        headline([one], "m") == headline([of("one", [[0.3, NAN]], True)], "m") == ["Highest m: one, 0.3000."]
    )
