"""The layout of `hard_negatives.json`, and the line that an error names."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import FILE_NAME, META_NAME, Document, read_index, write_index, write_lists
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.store.files import file_digest

KEYS = [f"key{i}" for i in range(12)]


def index_file(tmp_path, content):
    path = tmp_path / "hard_negatives.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return path


def read(path, ids=None, meta=None, **options):
    return read_index(path, meta, ids or FunctionIds(12), way_out="take another.", **options)


def test_one_id_a_line(tmp_path):
    path = tmp_path / "hard_negatives.json"
    write_lists(path, {1: [9, 3, 4], 7: [6]})
    assert path.read_text() == '{\n "1": [\n  9,\n  3,\n  4\n ],\n "7": [\n  6\n ]\n}\n'


@given(st.dictionaries(st.text() | st.integers(), st.lists(st.text() | st.integers(), min_size=1), max_size=5))
def test_lists_are_written_as_the_json_encoder_does(tmp_path_factory, lists):
    path = tmp_path_factory.mktemp("lists") / "hard_negatives.json"
    lists = {str(key): values for key, values in lists.items()}
    write_lists(path, lists)
    assert path.read_text(encoding="utf-8") == json.dumps(lists, indent=1) + "\n"


def test_order_of_the_file_is_kept(tmp_path):
    pairs, related, metadata = read(index_file(tmp_path, {"7": [6], "1": [9, 3]}))
    assert pairs.anchor_ids.tolist() == [7, 1, 1]
    assert pairs.neighbor_ids.tolist() == [6, 9, 3]
    assert (pairs.score_c.tolist(), np.isnan(pairs.cosim).all(), len(related), metadata) == ([1, 1, 1], True, 0, {})


def test_content_keys_are_found(tmp_path):
    pairs, *_ = read(index_file(tmp_path, {"key7": ["key6"], "key1": ["key9"]}), FunctionIds(12, KEYS))
    assert (pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist()) == ([7, 1], [6, 9])


def test_unknown_functions_may_be_let_pass(tmp_path):
    path = index_file(tmp_path, {"key7": ["other", "key6"], "another": ["key9"]})
    pairs, *_ = read(path, FunctionIds(12, KEYS), skip_unknown=True)
    assert (pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist()) == ([7, 7, -1], [-1, 6, 9])


def test_an_empty_index(tmp_path):
    write_lists(tmp_path / "hard_negatives.json", {})
    assert len(read(tmp_path / "hard_negatives.json")[0]) == 0


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ({"1": [2, 3], "4": [5, 4]}, None, ":8: pairs function 4 with itself"),
        ({"1": [2, 3, 2], "4": [5]}, None, r":5: holds the pair \(1, 2\) twice"),
        ({"1": [2, 3], "4": [5, 12, 99]}, None, r":8: names 2 function ids .* 12 functions \(the first is 12\)"),
        ({"1": [2], "12": [3]}, None, r":5: names 1 function ids .*the first is 12\)"),
        ({"1": [2], "4": [5], "four": [5]}, None, ":8: has the key 'four', which is no function id"),
        ({"1": [2], "4": {"5": 6}}, None, ":5: holds no list of function ids under '4'"),
        ({"1": [2], "4": ["key5"]}, None, ":5: holds no list of function ids under '4'"),
        ('{"1": [2],\n"2": [3],\n"1": [4]}', None, ":3: has the key '1' twice"),
        ('{"1": [2],\n"2": 3,]', None, ":2: is not valid JSON"),
        ("[" * 100_000, None, " is not valid JSON"),
        ('{"1": [' + "9" * 5000 + "]}", None, " is not valid JSON"),
        ([[1, 2]], None, " is not an object of id lists"),
        ({"key1": ["key2"], "key4": ["key5", "key4"]}, KEYS, ":7: pairs function key4 with itself"),
        ({"key1": ["key2", "key2"]}, KEYS, r":4: holds the pair \(key1, key2\) twice"),
        ({"key1": ["key2", "keyless"]}, KEYS, r":4: names 1 function ids .*the first is keyless\)"),
        ({"1": [2]}, KEYS, ":2: holds no list of function ids under '1'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_a_way_out(tmp_path, content, keys, message):
    path = index_file(tmp_path, content)
    with pytest.raises(SigjepaError, match=rf"hard_negatives\.json{message}.*; take another\."):
        read(path, FunctionIds(12, keys))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SigjepaError, match="does not exist; take another"):
        read(tmp_path / "hard_negatives.json")
    with pytest.raises(SigjepaError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "hard_negatives.json").write_bytes(b'{"\xff": [1]}')
    with pytest.raises(SigjepaError, match="is not valid JSON"):
        read(tmp_path / "hard_negatives.json")


def test_related_functions_that_the_corpus_lacks_are_let_pass_too(tmp_path):
    path = index_file(tmp_path, {"key1": ["key2"]})
    meta = {"digest": file_digest(path), "scores": {"key1": [0]}, "cosims": {"key1": [0.9]}}
    meta["related"] = {"key3": ["key4", "other"], "other": ["key3"]}
    (tmp_path / "notes.json").write_text(json.dumps(meta))
    _, related, _ = read(path, FunctionIds(12, KEYS), tmp_path / "notes.json", skip_unknown=True)
    assert related.tolist() == [[3, 4]]
    with pytest.raises(SigjepaError, match=r"notes.json:1: names 1 function ids"):
        read(path, FunctionIds(12, KEYS), tmp_path / "notes.json")


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


def load(folder, n_functions=12):
    return read_index(folder / FILE_NAME, folder / META_NAME, FunctionIds(n_functions), way_out="take another.")


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
    pairs, related, metadata = load(saved)
    columns = (pairs.anchor_ids, pairs.neighbor_ids, pairs.score_c, pairs.cosim)
    assert [column.tolist() for column in columns] == [
        [1, 1, 1, 7],
        [9, 3, 4, 6],
        [0, 1, 0, 1],
        [0.9, 0.85, 0.81, 0.83],
    ]
    assert related.tolist() == [[1, 2], [2, 1], [5, 7], [7, 5]]
    assert (metadata["ids"], metadata["train_functions"]) == ("position", 16)


def test_ids_of_another_corpus(saved):
    with pytest.raises(SigjepaError, match=rf"{FILE_NAME}:3: names 2 function ids .* corpus of 7 .*first is 9\)"):
        load(saved, 7)


def test_related_ids_of_another_corpus(saved):
    edit(saved / META_NAME, lambda meta: meta["related"].update({"3": [99]}))
    with pytest.raises(SigjepaError, match=rf"{META_NAME}:1: names 1 function ids .*first is 99"):
        load(saved)


def test_altered_file(saved):
    edit(saved / FILE_NAME, lambda lists: lists["1"].reverse())
    with pytest.raises(SigjepaError, match=rf"{FILE_NAME} was altered: its digest is"):
        load(saved)


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
        load(saved)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("scores", 4, "among its scores, 1.1=4"),
        ("scores", -1, "among its scores, 1.1=-1"),
        ("scores", 0.5, "among its scores, 1.1=0.5"),
        ("scores", True, "among its scores, 1.1=True"),
        ("cosims", True, "among its cosims, 1.1=True"),
        ("cosims", 1.01, "among its cosims, 1.1=1.01"),
        ("cosims", float("nan"), "among its cosims, 1.1=nan"),
        ("cosims", None, "among its cosims, 1.1=None"),
    ],
)
def test_values_out_of_range(saved, column, value, message):
    edit(saved / META_NAME, lambda meta: meta[column]["1"].__setitem__(1, value))
    with pytest.raises(SigjepaError, match=message):
        load(saved)


@pytest.mark.parametrize("key", ["digest", "scores", "cosims", "related"])
def test_incomplete_metadata(saved, key):
    edit(saved / META_NAME, lambda meta: meta.pop(key))
    with pytest.raises(SigjepaError, match=f"{META_NAME} lacks one of"):
        load(saved)


@pytest.mark.parametrize("name", [FILE_NAME, META_NAME])
def test_missing_and_broken_files(saved, name):
    (saved / name).write_text("{")
    with pytest.raises(SigjepaError, match=f"{name}:1: is not valid JSON"):
        load(saved)
    (saved / name).unlink()
    with pytest.raises(SigjepaError, match=f"{name} does not exist"):
        load(saved)
