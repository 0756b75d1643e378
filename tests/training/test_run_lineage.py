"""Every link of a real chain, from a checkpoint to the source files: whole, tampered with, and taken away."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest
from sigjepa.training.provenance import provenance, write_file_digests, write_provenance
from sigjepa.training.run_lineage import lineage

KINDS = ("corpus", "teacher", "mined", "judged", "negatives")


@pytest.fixture
def chain(tiny_data, tmp_path):
    """A run directory with a checkpoint, and the data directory of the artifacts that it was trained on."""
    data, run_dir = tmp_path / "data", tmp_path / "runs" / "one"
    for kind in KINDS:
        shutil.copytree(tiny_data.store.data_dir / kind, data / kind, ignore=shutil.ignore_patterns("*.lock"))
    config = {"name": "exp1_4", "seed": 0, "paths": {"run_dir": str(run_dir)}}
    (run_dir / "checkpoints").mkdir(parents=True)
    write_provenance(run_dir, provenance(config, 0, tiny_data.hashes(), data, None, tiny_data.references()))
    torch.save(
        {"hyper_parameters": config, "epoch": 1, "global_step": 2, "state_dict": {"w": torch.ones(3)}},
        run_dir / "checkpoints" / "best.ckpt",
    )
    (run_dir / "metrics.csv").write_text("epoch\n0\n")
    write_file_digests(run_dir)
    return run_dir, data


def folder_of(link, kind):
    return next(found.path for found in link.walk() if found.kind == kind)


def wrong(link):
    return {(found.kind, check.state) for found in link.walk() for check in found.checks if check.state != "verified"}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_whole_chain_holds_from_the_checkpoint_to_the_source_files(chain):
    link = lineage(chain[0] / "checkpoints/best.ckpt")
    kinds = [found.kind for found in link.walk()]
    assert kinds[:2] == ["checkpoint", "run"]
    assert sorted(kinds[2:]) == sorted([*KINDS, "source files"])  # each once
    assert link.holds()
    assert not wrong(link)
    assert link.counts()["verified"] > 200  # the source files are among them


def first_file(folder):
    manifest = Manifest.read(folder)
    return manifest, next(iter(manifest.files))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_anywhere_is_noticed(chain, kind):
    start = chain[0] / "checkpoints/best.ckpt"
    folder = Path(folder_of(lineage(start), kind))
    flip(folder / first_file(folder)[1])
    found = lineage(start)
    assert not found.holds()
    assert (kind, "changed") in wrong(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_rewritten_together_with_its_manifest_is_noticed_downstream(chain, kind):
    """Whoever edits content and digest of one artifact is found out by what was built from it."""
    start = chain[0] / "checkpoints/best.ckpt"
    folder = Path(folder_of(lineage(start), kind))
    manifest, name = first_file(folder)
    flip(folder / name)
    record = replace(manifest.files[name], digest=manifest.digests()[name])
    replace(manifest, files={**manifest.files, name: record}).write()
    found = lineage(start)
    assert {(each, state) for each, state in wrong(found) if each == kind} == set()  # by itself it looks whole
    assert not found.holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_folder_is_said_to_be_missing(chain, kind):
    start = chain[0] / "checkpoints/best.ckpt"
    shutil.rmtree(folder_of(lineage(start), kind))
    found = lineage(start)
    assert not found.holds()
    assert {state for _, state in wrong(found)} >= {"missing"}


def test_edited_inputs_no_longer_name_the_folder(chain):
    start = chain[0] / "checkpoints/best.ckpt"
    folder = Path(folder_of(lineage(start), "teacher"))
    manifest = Manifest.read(folder)
    replace(manifest, inputs={**manifest.inputs, "body_states": not manifest.inputs["body_states"]}).write()
    link = next(found for found in lineage(start).walk() if found.kind == "teacher")
    assert [(check.what, check.state) for check in link.checks] == [("manifest.json", "changed")]


def test_a_checkpoint_of_another_run_or_with_other_weights_is_noticed(chain):
    path = chain[0] / "checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["seed"] = 1
    torch.save(content, path)
    link = lineage(path)
    assert [check.what for check in link.checks if check.state == "changed"] == ["digest", "config inside"]


def test_a_checkpoint_that_would_run_code_is_not_opened(chain):
    class Payload:
        def __reduce__(self):
            return print, ("it ran",)

    path = chain[0] / "checkpoints/best.ckpt"
    torch.save({"hyper_parameters": Payload()}, path)
    link = lineage(path)
    assert not link.holds()
    assert any("can't be read as a checkpoint" in check.detail for check in link.checks)


def test_a_tampered_diff_and_a_tampered_config_of_a_run_are_noticed(chain):
    run_dir, _ = chain
    path = run_dir / "provenance.json"
    facts = json.loads(path.read_text())
    facts["config"]["seed"] = 7
    diff = {"file": "provenance.diff", "digest": "xxh3_128:0", "bytes": 1, "left_out": {}}
    facts["git"] = {"sha": "a" * 40, "dirty": True, "diff": diff}
    path.write_text(json.dumps(facts))
    (run_dir / "provenance.diff").write_text("x")
    changed = [check.what for check in lineage(run_dir).checks if check.state == "changed"]
    assert "config" in changed
    assert "diff of the code, provenance.diff" in changed
    assert "provenance.json" in changed


def test_a_moved_cache_is_found_where_it_is_said_to_be(chain):
    run_dir, data = chain
    moved = data.rename(data.with_name("elsewhere"))
    assert not lineage(run_dir).holds()
    assert lineage(run_dir, moved).holds()


def test_any_file_of_an_artifact_stands_for_it(chain):
    run_dir, data = chain
    provenance = json.loads((run_dir / "provenance.json").read_text())
    corpus = data / "corpus" / provenance["artifacts"]["corpus"]
    assert lineage(corpus / "functions.parquet").path == str(corpus)
    assert lineage(corpus).kind == "corpus"


def test_what_is_nothing_of_ours_is_one_message(tmp_path):
    with pytest.raises(SigjepaError, match="nothing "):
        lineage(tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SigjepaError, match="provenance.json"):
        lineage(tmp_path / "a.txt")
    with pytest.raises(SigjepaError, match="data_dir="):
        lineage(tmp_path, tmp_path / "no")
