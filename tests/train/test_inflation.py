"""The flag that lets small files inflate, and where it is named."""

import pytest

from train import inflation
from train.errors import UserError
from train.inflation import TooLargeError, check_inflation, without_limit


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 25)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e3", "", "9" * 30])
def test_the_flag_is_a_whole_number(value):
    with pytest.raises(UserError, match="--max-inflated-mb"):
        without_limit([f"--max-inflated-mb={value}"])


def test_the_flag_is_taken_from_any_place():
    assert without_limit(["a", "--max_inflated_mb=30", "--b"]) == ["a", "--b"]
    check_inflation(1, 30_000_000, "x")
    assert without_limit(["--max-inflated-mb", "29"]) == []
    with pytest.raises(TooLargeError, match="inflate to 30,000,000 with array x"):
        check_inflation(1, 30_000_000, "x")


def test_a_large_file_may_hold_much():
    check_inflation(10**9, 10**11, "x")
    with pytest.raises(TooLargeError) as caught:
        check_inflation(10**9, 10**11 + 1, "x")
    assert caught.value.remedy == "if it is meant so, give --max-inflated-mb 100001"
