"""Judged pairs: what is written is read back, and some of them are taken."""

import numpy as np
import pytest

from sigjepa.negatives.judging.judged_pairs import JudgedPairs

COLUMNS = ("anchor_ids", "neighbor_ids", "cosim", "score_c")


@pytest.fixture
def pairs():
    columns = (
        np.array([1, 2, 2]),
        np.array([2, 1, 7]),
        np.array([0.812345, -1.0, 1 / 3]),
        np.array([0, 3, 1], np.int8),
    )
    return JudgedPairs(*columns, "test", ["\u00e4", "", "two\nlines\u2028\x1b[2J"])


def same(pairs, other):
    return (pairs.judge, list(pairs.reasons)) == (other.judge, list(other.reasons)) and all(
        np.array_equal(getattr(pairs, name), getattr(other, name))
        and getattr(pairs, name).dtype == getattr(other, name).dtype
        for name in COLUMNS
    )


@pytest.mark.parametrize("count", [3, 0])
def test_written_pairs_are_read_back(pairs, tmp_path, count):
    pairs = pairs.take(np.arange(count))
    pairs.write(tmp_path / "pairs.parquet")
    assert same(JudgedPairs.read(tmp_path / "pairs.parquet", "test"), pairs)
    pairs.write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "pairs.parquet").read_bytes()


def test_pairs_among_functions(pairs):
    assert same(pairs.among(np.array([1, 2])), pairs.take(np.array([0, 1])))
    assert len(pairs.among(np.array([7]))) == 0
