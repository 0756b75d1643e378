import json
import logging
from dataclasses import asdict

import pytest

from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Reference
from sigjepa.store.origin import package_versions
from sigjepa.training import provenance as module
from sigjepa.training.provenance import PACKAGES, provenance, write_file_digests, write_provenance


def test_provenance_names_versions_artifacts_and_config(tmp_path):
    record = provenance({"a": 1}, 5, {"corpus": "installed-1"}, tmp_path / "data", {"Judge": "structural"})
    assert record["seed"] == 5
    assert record["artifacts"] == {"corpus": "installed-1"}
    assert record["config"] == {"a": 1}
    assert record["data_dir"] == str(tmp_path.resolve() / "data")
    assert record["hard_negatives"] == {"Judge": "structural"}
    assert record["config_hash"] == provenance({"a": 1}, 6, {}, tmp_path)["config_hash"]
    assert record["config_hash"] != provenance({"a": 2}, 5, {}, tmp_path)["config_hash"]
    assert record["versions"]["torch"]
    assert set(package_versions(PACKAGES)) == set(record["versions"])


CORPUS = Reference("corpus", "x-1", "c", "d")


@pytest.fixture
def facts(tmp_path):
    return provenance({"a": 1}, 0, {}, tmp_path / "data", upstream={"corpus": CORPUS})


def written(run_dir):
    return json.loads((run_dir / "provenance.json").read_text())


def test_it_names_the_environment_that_decides_results(facts):
    assert facts["environment"]["threads"] >= 1
    assert facts["environment"]["deterministic"] in (True, False)
    assert facts["environment"]["device"]
    assert facts["upstream"] == {"corpus": asdict(CORPUS)}


def test_a_clean_tree_has_no_diff_and_no_warning(facts, tmp_path, caplog):
    write_provenance(tmp_path, facts | {"git": {"sha": "a" * 40, "dirty": False}})
    assert [start["git"] for start in written(tmp_path)["started"]] == [{"sha": "a" * 40, "dirty": False}]
    assert not list(tmp_path.glob("*.diff"))
    assert not caplog.records


def test_a_dirty_tree_says_so_and_keeps_the_diff(facts, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "code_diff", lambda: module.Diff(b"+ changed\n", {"conf/x.yaml": "too large"}))
    with caplog.at_level(logging.WARNING):
        write_provenance(tmp_path, facts | {"git": {"sha": "a" * 40, "dirty": True}})
    assert "not as committed" in caplog.text
    assert "conf/x.yaml" in caplog.text
    diff = written(tmp_path)["git"]["diff"]
    assert (tmp_path / diff["file"]).read_bytes() == b"+ changed\n"
    assert diff["digest"] == file_digest(tmp_path / "provenance.diff")
    assert diff["left_out"] == {"conf/x.yaml": "too large"}


def test_a_continued_run_keeps_its_starts_and_says_when_the_code_is_another(facts, tmp_path, monkeypatch, caplog):
    dirty = {"git": {"sha": "a" * 40, "dirty": True}}
    for content in (b"one", b"one", b"two"):
        monkeypatch.setattr(module, "code_diff", lambda content=content: module.Diff(content, {}))
        caplog.clear()
        write_provenance(tmp_path, facts | dirty)
        assert ("continued by other code" in caplog.text) == (content == b"two")
    starts = written(tmp_path)["started"]
    assert [start["git"]["diff"]["file"] for start in starts] == ["provenance.diff"] * 2 + ["provenance-2.diff"]
    assert (tmp_path / "provenance.diff").read_bytes() == b"one"
    assert all(start["time"] and start["command"] for start in starts)


@pytest.mark.parametrize(
    ("part", "name"), [("versions", "torch"), ("environment", "threads"), ("environment", "device")]
)
def test_a_run_continued_elsewhere_says_so_before_it_goes_on(facts, tmp_path, caplog, part, name):
    write_provenance(tmp_path, facts)
    write_provenance(tmp_path, facts)
    assert "continued elsewhere" not in caplog.text
    write_provenance(tmp_path, facts | {part: facts[part] | {name: "another"}})
    assert f"{part}.{name} was {facts[part][name]}, is another" in caplog.text
    assert [start[part][name] for start in written(tmp_path)["started"]][1:] == [facts[part][name], "another"]


def test_a_finished_run_has_the_digests_of_its_files_until_it_starts_again(facts, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").write_bytes(b"weights")
    write_provenance(tmp_path, facts | {"git": {"sha": None, "dirty": None}})
    write_file_digests(tmp_path)
    files = json.loads((tmp_path / "files.json").read_text())["files"]
    assert files == {name: file_digest(tmp_path / name) for name in ("checkpoints/best.ckpt", "provenance.json")}
    write_provenance(tmp_path, facts)
    assert not (tmp_path / "files.json").exists()
