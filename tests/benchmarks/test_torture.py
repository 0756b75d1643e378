"""The page of reliability says why a measurement failed."""

import io
from pathlib import Path

import pytest
from tqdm import tqdm

RELIABILITY = Path(__file__).parents[2] / "benchmarks" / "reliability"


@pytest.fixture
def error_of(monkeypatch):
    monkeypatch.syspath_prepend(str(RELIABILITY))
    import torture

    return torture.error_of


def bar(total: int | None) -> str:
    drawn = io.StringIO()
    with tqdm(total=total, desc="damages", unit="run", file=drawn, mininterval=0, delay=0) as shown:
        for _ in range(3):
            shown.update()
    return drawn.getvalue()


@pytest.mark.parametrize("total", [3, None])
def test_the_error_is_told_and_not_the_bar_below_it(error_of, total):
    traceback = "Traceback (most recent call last):\nValueError: 3 of 7\n"
    assert error_of(bar(total) + traceback + bar(total)) == "ValueError: 3 of 7"
    assert error_of(bar(total)) == error_of("") == "no message"
