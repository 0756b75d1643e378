"""The hard-negative index: lookups, the published files, and every way in which these can be wrong."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.index_file import FILE_NAME, META_NAME
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.store.files import file_digest

N_FUNCTIONS = 20
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


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_lists(folder, change):
    """Change the published file and make its digest fit again, as somebody would who means it."""
    edit(folder / FILE_NAME, change)
    edit(folder / META_NAME, lambda meta: meta.update(digest=file_digest(folder / FILE_NAME)))


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


@pytest.mark.parametrize(
    ("min_cosim", "max_score_c", "expected"), [(0.80, 0, [9, 4]), (0.85, 1, [9, 3]), (0.96, 1, [])]
)
def test_filter_is_inclusive(min_cosim, max_score_c, expected):
    index = HardNegatives.from_judged(
        judged_pairs(ROWS), train_ids=TRAIN, pair_filter=PairFilter(min_cosim=min_cosim, max_score_c=max_score_c)
    )
    assert index.negatives_of(1).ids.tolist() == expected


def test_pairs_outside_the_train_split_are_refused():
    with pytest.raises(SigjepaError, match=r"2 judged functions are not in the train split, the first is 7"):
        HardNegatives.from_judged(
            judged_pairs(ROWS),
            train_ids=np.array([1, 2, 3, 4, 5, 6]),
            pair_filter=PairFilter(min_cosim=0.8, max_score_c=1),
        )


def test_metadata_file(saved):
    meta = json.loads((saved / META_NAME).read_text())
    assert meta["scores"] == {"1": [0, 1, 0], "7": [1]}
    assert meta["cosims"] == {"1": [0.9, 0.85, 0.81], "7": [0.83]}
    assert meta["related"] == {"1": [2], "2": [1], "5": [7], "7": [5]}
    assert meta["filter"] == {**PairFilter(min_cosim=0.8).settings(), "split": "train"}
    assert meta["statistics"]["coverage"] == 2 / 16
    assert meta["digest"] == file_digest(saved / FILE_NAME)


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


def test_restricted_to_functions_and_scores(hard_negatives):
    index = hard_negatives.restricted(np.array([1, 2, 3, 9]))
    assert index.negatives.to_lists(index.negatives.values) == {1: [9, 3]}
    assert (index.scores.tolist(), index.cosims.tolist()) == ([0, 1], [0.90, 0.85])
    assert [index.related_to(anchor).tolist() for anchor in (1, 2, 7)] == [[2], [1], []]
    assert hard_negatives.restricted(TRAIN, max_score_c=0).negatives_of(1).ids.tolist() == [9, 4]


rows = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(-100, 100), st.integers(0, 3)),
    unique_by=lambda row: row[:2],
    max_size=40,
).map(lambda found: [(a, b, cosim / 100, score) for a, b, cosim, score in found if a != b])


@given(rows)
def test_saving_and_loading_changes_nothing(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("negatives")
    index = HardNegatives.from_judged(
        judged_pairs(rows), train_ids=np.arange(20), pair_filter=PairFilter(min_cosim=0.0, max_score_c=1)
    )
    index.save(folder)
    loaded = HardNegatives.load(folder, N_FUNCTIONS)
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
    index = pickle.loads(pickle.dumps(HardNegatives.load(saved, N_FUNCTIONS)))
    assert index.negatives_of(1).ids.tolist() == [9, 3, 4]


def test_ids_of_another_corpus(saved):
    with pytest.raises(
        SigjepaError, match=rf"{FILE_NAME}:3: names 2 function ids .* corpus of 7 .*first is 9\).*prepare"
    ):
        HardNegatives.load(saved, 7)


def test_related_ids_of_another_corpus(saved):
    edit(saved / META_NAME, lambda meta: meta["related"].update({"3": [99]}))
    with pytest.raises(SigjepaError, match=rf"{META_NAME}:1: names 1 function ids .*first is 99"):
        HardNegatives.load(saved, N_FUNCTIONS)


def test_altered_file(saved):
    edit(saved / FILE_NAME, lambda lists: lists["1"].reverse())
    with pytest.raises(SigjepaError, match=rf"{FILE_NAME} was altered: its digest is"):
        HardNegatives.load(saved, N_FUNCTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lists: lists["1"].append(9), r"holds the pair \(1, 9\) twice"),
        (lambda lists: lists["1"].append(1), "pairs function 1 with itself"),
        (lambda lists: lists["1"].append(-1), "the first is -1"),
        (lambda lists: lists["1"].append(10**30), "no list of function ids under '1'"),
        (lambda lists: lists["1"].append("9"), "no list of function ids under '1'"),
        (lambda lists: lists["1"].append(True), "no list of function ids under '1'"),
        (lambda lists: lists.update({"8": []}), "no list of function ids under '8'"),
        (lambda lists: lists.update({"8": 9}), "no list of function ids under '8'"),
        (lambda lists: lists.update({"eight": [9]}), "the key 'eight', which is no function id"),
        (lambda lists: lists.update({"01": [5]}), "the key '01', which is no function id"),
        (lambda lists: lists["1"].pop(), f"does not have one of its scores for each pair of {FILE_NAME}"),
        (lambda lists: lists.pop("7"), f"does not have one of its scores for each pair of {FILE_NAME}"),
    ],
)
def test_damaged_lists(saved, change, message):
    edit_lists(saved, change)
    with pytest.raises(SigjepaError, match=message):
        HardNegatives.load(saved, N_FUNCTIONS)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("scores", 4, "has 4 among the scores of function 1, which is not one of 0, 1, 2, 3"),
        ("scores", -1, "has -1 among the scores"),
        ("scores", 0.5, "has 0.5 among the scores"),
        ("scores", True, "has True among the scores"),
        ("cosims", True, "has True among the cosims"),
        ("cosims", 1.01, "has 1.01 among the cosims of function 1, which is not within"),
        ("cosims", float("nan"), "has nan among the cosims"),
        ("cosims", None, "has None among the cosims"),
    ],
)
def test_values_out_of_range(saved, column, value, message):
    edit(saved / META_NAME, lambda meta: meta[column]["1"].__setitem__(1, value))
    with pytest.raises(SigjepaError, match=message):
        HardNegatives.load(saved, N_FUNCTIONS)


@pytest.mark.parametrize("key", ["digest", "scores", "cosims", "related"])
def test_incomplete_metadata(saved, key):
    edit(saved / META_NAME, lambda meta: meta.pop(key))
    with pytest.raises(SigjepaError, match=f"{META_NAME} lacks one of"):
        HardNegatives.load(saved, N_FUNCTIONS)


@pytest.mark.parametrize("name", [FILE_NAME, META_NAME])
def test_missing_and_broken_files(saved, name):
    (saved / name).write_text("{")
    with pytest.raises(SigjepaError, match=f"{name}:1: is not valid JSON"):
        HardNegatives.load(saved, N_FUNCTIONS)
    (saved / name).unlink()
    with pytest.raises(SigjepaError, match=f"{name} does not exist"):
        HardNegatives.load(saved, N_FUNCTIONS)
