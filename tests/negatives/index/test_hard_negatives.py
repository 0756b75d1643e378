"""The hard-negative index: lookups, the published files, and every way in which these can be wrong."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import FILE_NAME, METADATA_FILE, HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs

TRAIN = np.arange(16)


def judged_pairs(rows):
    """From (anchor, neighbor, cosine, score)."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kinds = (np.int64, np.int64, np.float64, np.int8)
    arrays = [np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)]
    return JudgedPairs(*arrays, judge="structural (heuristic)", reasons=["because"] * len(rows))


ROWS = [
    (1, 2, 0.95, 3),
    (1, 9, 0.90, 0),
    (1, 3, 0.85, 1),
    (1, 4, 0.81, 0),
    (2, 1, 0.95, 3),
    (7, 5, 0.88, 2),
    (7, 6, 0.83, 1),
]


@pytest.fixture
def hard_negatives():
    return HardNegatives.from_judged(
        judged_pairs(ROWS), train_ids=TRAIN, pair_filter=PairFilter(min_cosim=0.80, max_score_c=1)
    )


@pytest.fixture
def saved(hard_negatives, tmp_path):
    hard_negatives.save(tmp_path / "negatives")
    return tmp_path / "negatives"


def test_negatives_are_ordered_by_descending_cosine(hard_negatives):
    row = hard_negatives.negatives_of(1)
    assert row.ids.tolist() == [9, 3, 4]
    assert row.scores.tolist() == [0, 1, 0]
    assert row.cosims.tolist() == [0.90, 0.85, 0.81]


@pytest.mark.parametrize("anchor", [0, 2, 6, 8, 99])
def test_unknown_anchors_have_no_negatives(hard_negatives, anchor):
    row = hard_negatives.negatives_of(anchor)
    assert [len(column) for column in row] == [0, 0, 0]
    assert row.ids.dtype == np.int64


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
@settings(deadline=None)
def test_a_symmetric_lookup_has_each_pair_once_in_both_directions(pairs):
    first, second = (np.array(ids, dtype=np.int64) for ids in (zip(*pairs, strict=True) if pairs else ((), ())))
    lookup = CSR.symmetric(first, second)
    expected = sorted({*pairs, *((second, first) for first, second in pairs)})
    assert list(zip(lookup.pair_keys().tolist(), lookup.values.tolist(), strict=True)) == expected


def test_related_pairs_are_symmetric(hard_negatives):
    assert {anchor: hard_negatives.related_to(anchor).tolist() for anchor in (1, 2, 5, 7, 6)} == {
        1: [2],
        2: [1],
        5: [7],  # mined in the other direction only
        7: [5],
        6: [],
    }


def test_coverage(hard_negatives):
    assert hard_negatives.coverage(TRAIN) == 2 / 16
    assert hard_negatives.coverage(np.array([1, 7])) == 1.0
    assert hard_negatives.coverage(np.array([], dtype=np.int64)) == 0.0


def test_those_among_some_functions_have_both_of_theirs_there(hard_negatives):
    some = hard_negatives.among(np.array([1, 2, 4, 6, 7, 9]))
    assert {anchor: some.negatives_of(anchor).ids.tolist() for anchor in (1, 7)} == {1: [9, 4], 7: [6]}
    assert (some.scores.tolist(), some.cosims.tolist()) == ([0, 0, 1], [0.90, 0.81, 0.83])
    assert {anchor: some.related_to(anchor).tolist() for anchor in (1, 2, 5, 7)} == {1: [2], 2: [1], 5: [], 7: []}
    assert (some.statistics()["train_functions"], some.statistics()["coverage"]) == (6, 2 / 6)
    assert some.summary_rows()["Unique anchors"] == "2 (33% of train split)"


@pytest.mark.parametrize(
    ("min_cosim", "max_score_c", "expected"), [(0.80, 0, [9, 4]), (0.85, 1, [9, 3]), (0.96, 1, [])]
)
def test_filter_is_inclusive(min_cosim, max_score_c, expected):
    index = HardNegatives.from_judged(
        judged_pairs(ROWS), train_ids=TRAIN, pair_filter=PairFilter(min_cosim=min_cosim, max_score_c=max_score_c)
    )
    assert index.negatives_of(1).ids.tolist() == expected


def test_pairs_outside_the_train_split_are_refused():
    with pytest.raises(SigjepaError, match="^2 .* 7;"):
        HardNegatives.from_judged(
            judged_pairs(ROWS),
            train_ids=np.array([1, 2, 3, 4, 5, 6]),
            pair_filter=PairFilter(min_cosim=0.8, max_score_c=1),
        )


def test_statistics(hard_negatives):
    assert hard_negatives.statistics() == {
        "pairs": 4,
        "anchors": 2,
        "train_functions": 16,
        "coverage": 2 / 16,
        "score_c_0": 2,
        "score_c_1": 2,
        "related_pairs": 2,
        "average_per_anchor": 2.0,
    }


rows = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(-100, 100), st.integers(0, 3)),
    unique_by=lambda row: row[:2],
    max_size=40,
).map(lambda found: [(a, b, cosim / 100, score) for a, b, cosim, score in found if a != b])


@settings(max_examples=30)
@given(rows)
def test_saving_and_loading_changes_nothing(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("negatives")
    index = HardNegatives.from_judged(
        judged_pairs(rows), train_ids=np.arange(20), pair_filter=PairFilter(min_cosim=0.0, max_score_c=1)
    )
    index.save(folder)
    loaded = HardNegatives.load(folder)
    for anchor in range(20):
        expected = sorted((-c, b, s) for a, b, c, s in rows if a == anchor and c >= 0 and s <= 1)
        row = loaded.negatives_of(anchor)
        assert list(zip((-row.cosims).tolist(), row.ids.tolist(), row.scores.tolist(), strict=True)) == expected
        related = {b for a, b, _, s in rows if a == anchor and s >= 2} | {
            a for a, b, _, s in rows if b == anchor and s >= 2
        }
        assert loaded.related_to(anchor).tolist() == sorted(related)
    assert loaded.statistics() == index.statistics()


def test_index_can_be_pickled(saved):
    index = pickle.loads(pickle.dumps(HardNegatives.load(saved)))
    assert index.negatives_of(1).ids.tolist() == [9, 3, 4]


@pytest.mark.parametrize("name", [FILE_NAME, METADATA_FILE])
def test_what_is_kept_with_a_run_is_verified(saved, name):
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(DamagedError, match=name):
        HardNegatives.load(saved)
    (saved / name).unlink()
    with pytest.raises(SigjepaError, match=name):
        HardNegatives.load(saved)


def test_equal_negatives_are_equal_files(hard_negatives, saved, tmp_path):
    HardNegatives.load(saved).save(tmp_path / "again")
    for name in (FILE_NAME, METADATA_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
