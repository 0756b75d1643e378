"""The layout of `hard_negatives.json`, and the line that an error names."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import Document, read_index, write_lists
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
    pairs = read(index_file(tmp_path, {"7": [6], "1": [9, 3]}))
    assert pairs.anchors.tolist() == [7, 1, 1]
    assert pairs.negatives.tolist() == [6, 9, 3]
    assert (pairs.scores, pairs.cosims, len(pairs.related), pairs.metadata) == (None, None, 0, {})


def test_content_keys_are_found(tmp_path):
    pairs = read(index_file(tmp_path, {"key7": ["key6"], "key1": ["key9"]}), FunctionIds(12, KEYS))
    assert (pairs.anchors.tolist(), pairs.negatives.tolist()) == ([7, 1], [6, 9])


def test_unknown_functions_may_be_let_pass(tmp_path):
    path = index_file(tmp_path, {"key7": ["other", "key6"], "another": ["key9"]})
    pairs = read(path, FunctionIds(12, KEYS), skip_unknown=True)
    assert (pairs.anchors.tolist(), pairs.negatives.tolist()) == ([7, 7, -1], [-1, 6, 9])


def test_an_empty_index(tmp_path):
    write_lists(tmp_path / "hard_negatives.json", {})
    assert len(read(tmp_path / "hard_negatives.json").anchors) == 0


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
    pairs = read(path, FunctionIds(12, KEYS), tmp_path / "notes.json", skip_unknown=True)
    assert pairs.related.tolist() == [[3, 4]]
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
