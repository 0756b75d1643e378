"""The layout of `hard_negatives.json`, and the line that an error names."""

import json

import numpy as np
import pytest
from reading import read_file

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.document import Document
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.exchange.index_file import FILE_NAME, META_NAME, write_index
from sigjepa.negatives.exchange.metadata import read_metadata
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.store.files import file_digest

KEYS = [f"key{i}" for i in range(12)]


def index_file(tmp_path, content):
    path = tmp_path / "hard_negatives.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return path


def read(path, ids=None, **options):
    """The pairs of an index over a train split of 12 functions."""
    return read_file(ImportedIndex(path), ids or FunctionIds(12), np.arange(12), read_metadata(path), **options)


def test_one_id_a_line(tmp_path):
    lists = CSR.from_sorted(np.array([1, 1, 1, 7]), np.array([9, 3, 4, 6]))
    none = CSR.from_sorted(np.zeros(0, np.int64), np.zeros(0, np.int64))
    path = write_index(HardNegatives(lists, np.zeros(4, np.int8), np.zeros(4), none), tmp_path, FunctionIds(12))
    assert path.read_text() == '{\n "1": [\n  9,\n  3,\n  4\n ],\n "7": [\n  6\n ]\n}\n'


def test_without_a_meta_file_nothing_is_known_of_the_pairs(tmp_path):
    pairs, metadata = read(index_file(tmp_path, {"7": [6], "1": [9, 3]}))
    assert pairs.anchor_ids.tolist() == [1, 1, 7]
    assert pairs.neighbor_ids.tolist() == [3, 9, 6]
    assert (pairs.score_c.tolist(), np.isnan(pairs.cosim).all()) == ([1, 1, 1], True)
    assert metadata == {"scores_known": False, "outside_pairs": 0}


def test_content_keys_are_found(tmp_path):
    pairs, _ = read(index_file(tmp_path, {"key7": ["key6"], "key1": ["key9"]}), FunctionIds(12, KEYS))
    assert (pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist()) == ([1, 7], [9, 6])


def test_unknown_functions_may_be_left_out(tmp_path):
    path = index_file(tmp_path, {"key7": ["other", "key6"], "another": ["key9"]})
    pairs, metadata = read(path, FunctionIds(12, KEYS), skip_outside=True)
    assert (pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), metadata["outside_pairs"]) == ([7], [6], 2)


def test_an_empty_index(tmp_path):
    assert len(read(index_file(tmp_path, "{}\n"))[0]) == 0


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ({"1": [2, 3], "4": [5, 4]}, None, ":8: .* 4 .*itself"),
        ({"1": [2, 3, 2], "4": [5]}, None, r":5: .*\(1, 2\) .*twice"),
        ({"1": [2, 3], "4": [5, 12, 99]}, None, ":8: .* 12 .* 12 "),
        ({"1": [2], "12": [3]}, None, ":6: .* 12 "),
        ({"1": [2], "4": [5], "four": [5]}, None, ":9: .*'four' .*negatives.ids=key"),
        ({"1": [2], "4": {"5": 6}}, None, ":5: .*4="),
        ({"1": [2], "4": []}, None, ":5: .*4="),
        ({"1": [2], "4": [True]}, None, ":5: .*True"),
        ({"1": [2], "4": ["key5"]}, None, ":6: .*'key5' "),
        ('{"1": [2],\n"2": [3],\n"1": [4]}', None, ":3: .*'1' twice"),
        ('{"1": [2],\n"2": 3,]', None, ":2: .*JSON"),
        ("[" * 100_000, None, " .*JSON"),
        ('{"1": [' + "9" * 5000 + "]}", None, " .*JSON"),
        ([[1, 2]], None, " .*lists"),
        ({"key1": ["key2"], "key4": ["key5", "key4"]}, KEYS, ":7: .*key4 .*itself"),
        ({"key1": ["key2", "key2"]}, KEYS, r":4: .*\(key1, key2\) .*twice"),
        ({"key1": ["key2", "keyless"]}, KEYS, ":4: .*'keyless' "),
        ({"key1": [2]}, KEYS, ":3: .* 2 .*negatives.ids=position"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_a_way_out(tmp_path, content, keys, message):
    path = index_file(tmp_path, content)
    with pytest.raises(SigjepaError, match=rf"hard_negatives\.json{message}.*repair"):
        read(path, FunctionIds(12, keys))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SigjepaError, match=r"hard_negatives\.json .*repair"):
        read(tmp_path / "hard_negatives.json")
    with pytest.raises(SigjepaError, match=str(tmp_path)):
        read(tmp_path)
    (tmp_path / "hard_negatives.json").write_bytes(b'{"\xff": [1]}')
    with pytest.raises(SigjepaError, match=r"hard_negatives\.json .*JSON"):
        read(tmp_path / "hard_negatives.json")


def test_related_functions_that_the_corpus_lacks_are_left_out_too(tmp_path):
    path = index_file(tmp_path, {"key1": ["key2"]})
    meta = {"digest": file_digest(path), "scores": {"key1": [0]}, "cosims": {"key1": [0.9]}}
    meta["related"] = {"key3": ["key4", "other"], "other": ["key3"]}
    (tmp_path / META_NAME).write_text(json.dumps(meta))
    pairs, _ = read(path, FunctionIds(12, KEYS), skip_outside=True)
    assert related_of(pairs) == [[3, 4]]
    with pytest.raises(SigjepaError, match=rf"{META_NAME}:1: .*'other' "):
        read(path, FunctionIds(12, KEYS))


def test_a_line_is_named_only_where_it_is_known(tmp_path):
    document = Document(index_file(tmp_path, {"1": [2]}), "take another.")
    assert ":2: is odd" in str(document.wrong("is odd", "1"))
    assert ".json is odd" in str(document.wrong("is odd", "absent"))
    assert ".json is odd" in str(document.wrong("is odd"))


def test_positions_and_names_are_inverse():
    for ids in (FunctionIds(12), FunctionIds(12, KEYS)):
        assert [ids.find(name) for name in ids.names(range(12))] == list(range(12))
        assert [ids.find(ids.from_json_key(str(name))) for name in ids.names(range(12))] == list(range(12))
    assert FunctionIds(12).find(12) == FunctionIds(12, KEYS).find("other") == -1
    assert isinstance(FunctionIds(12).names(np.arange(2).tolist())[0], int)


@pytest.fixture
def saved(tmp_path):
    """An exported index: 1 has 9, 3 and 4, 7 has 6; 1 and 2, 5 and 7 are related."""
    anchors, neighbors = np.array([1, 1, 1, 7]), np.array([9, 3, 4, 6])
    scores, cosims = np.array([0, 1, 0, 1], np.int8), np.array([0.90, 0.85, 0.81, 0.83])
    metadata = {"filter": {**PairFilter(min_cosim=0.8).settings(), "split": "train"}, "train_functions": 16}
    negatives, related = CSR.from_sorted(anchors, neighbors), CSR.symmetric(np.array([1, 7]), np.array([2, 5]))
    write_index(HardNegatives(negatives, scores, cosims, related, metadata), tmp_path, FunctionIds(12))
    return tmp_path


def load(folder):
    return read(folder / FILE_NAME)


def related_of(pairs):
    related = pairs.score_c == 2
    return np.stack([pairs.anchor_ids[related], pairs.neighbor_ids[related]], axis=1).tolist()


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_lists(folder, change):
    """Change the published file and make its digest fit again, as somebody would who means it."""
    edit(folder / FILE_NAME, change)
    edit(folder / META_NAME, lambda meta: meta.update(digest=file_digest(folder / FILE_NAME)))


def test_metadata_file(saved):
    meta = json.loads((saved / META_NAME).read_text())
    assert meta["scores"] == {"1": [0, 1, 0], "7": [1]}
    assert meta["cosims"] == {"1": [0.9, 0.85, 0.81], "7": [0.83]}
    assert meta["related"] == {"1": [2], "2": [1], "5": [7], "7": [5]}
    assert meta["filter"] == {**PairFilter(min_cosim=0.8).settings(), "split": "train"}
    assert meta["statistics"]["coverage"] == 2 / 16
    assert meta["digest"] == file_digest(saved / FILE_NAME)


def test_an_exported_index_is_read_back(saved):
    pairs, metadata = load(saved)
    columns = (pairs.anchor_ids, pairs.neighbor_ids, pairs.score_c, pairs.cosim)
    assert [column[pairs.score_c < 2].tolist() for column in columns] == [
        [1, 1, 1, 7],
        [9, 3, 4, 6],
        [0, 1, 0, 1],
        [0.9, 0.85, 0.81, 0.83],
    ]
    assert related_of(pairs) == [[1, 2], [2, 1], [5, 7], [7, 5]]
    assert (metadata["scores_known"], metadata["filter"]["min_cosim"]) == (True, 0.8)


def test_related_ids_of_another_corpus(saved):
    edit(saved / META_NAME, lambda meta: meta["related"].update({"3": [99]}))
    with pytest.raises(SigjepaError, match=rf"{META_NAME}:1: .* 99 "):
        load(saved)


def test_altered_file(saved):
    edit(saved / FILE_NAME, lambda lists: lists["1"].reverse())
    with pytest.raises(SigjepaError, match=rf"{META_NAME} .*{FILE_NAME}"):
        load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda lists: lists["1"].append(10**30),
        lambda lists: lists.update({"01": [5]}),
        lambda lists: lists["1"].pop(),
        lambda lists: lists.pop("7"),
    ],
)
def test_lists_that_do_not_fit_their_columns(saved, change):
    edit_lists(saved, change)
    with pytest.raises(SigjepaError, match=f"{META_NAME} .*scores"):
        load(saved)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("scores", 4, "scores.1.1=4"),
        ("scores", -1, "scores.1.1=-1"),
        ("scores", 0.5, "scores.1.1=0.5"),
        ("scores", True, "scores.1.1=True"),
        ("cosims", True, "cosims.1.1=True"),
        ("cosims", 1.01, "cosims.1.1=1.01"),
        ("cosims", float("nan"), "cosims.1.1=nan"),
        ("cosims", None, "cosims.1.1=None"),
    ],
)
def test_values_out_of_range(saved, column, value, message):
    edit(saved / META_NAME, lambda meta: meta[column]["1"].__setitem__(1, value))
    with pytest.raises(SigjepaError, match=message):
        load(saved)


@pytest.mark.parametrize("key", ["digest", "scores", "cosims", "related"])
def test_incomplete_metadata(saved, key):
    edit(saved / META_NAME, lambda meta: meta.pop(key))
    with pytest.raises(SigjepaError, match=f"{META_NAME}.* {key}"):
        load(saved)


def test_a_broken_meta_file(saved):
    (saved / META_NAME).write_text("{")
    with pytest.raises(SigjepaError, match=f"{META_NAME}:1: .*JSON"):
        load(saved)
