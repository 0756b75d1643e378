import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.store.files import atomic_path, file_digest, read_json, write_json
from sigjepa.store.manifest import content_key
from sigjepa.store.store import artifact_lock

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_key_does_not_depend_on_the_order_of_inputs(inputs):
    assert content_key(inputs) == content_key(dict(reversed(inputs.items())))


def test_key_changes_with_any_input():
    keys = {content_key(inputs) for inputs in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]})}
    assert len(keys) == 5


def test_a_flipped_byte_changes_the_digest(tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(b"\0" * 5_000_000)
    before = file_digest(path)
    path.write_bytes(b"\0" * 2_500_000 + b"\1" + b"\0" * 2_499_999)
    assert file_digest(path) != before


def test_atomic_write_leaves_all_or_nothing(tmp_path):
    path = tmp_path / "folder" / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    with pytest.raises(OSError, match="full"), atomic_path(path) as temporary:
        temporary.write_text("ha")
        raise OSError("disk full")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_json_round_trip_and_errors_that_name_the_file(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(SigjepaError, match=r"manifest\.json"):
        read_json(path)
    write_json(path, {"a": "é"})
    assert read_json(path) == {"a": "é"}
    path.write_text('{"a": ')
    with pytest.raises(SigjepaError, match=r"manifest\.json"):
        read_json(path)


def build_once(folder):
    with artifact_lock(folder):
        built = not (folder / "manifest.json").exists()
        if built:
            write_json(folder / "manifest.json", {})
        return built


def test_parallel_jobs_build_an_artifact_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert sum(pool.map(build_once, [tmp_path / "artifact"] * 6)) == 1


def test_nearest_name():
    assert nearest_name("experimnt", ["experiment", "seed"]) == " Did you mean 'experiment'?"
    assert nearest_name("zzz", ["experiment"]) == ""
