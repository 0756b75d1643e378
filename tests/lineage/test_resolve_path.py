"""Every link of a real chain, whole, tampered with, taken away, and of before it was recorded."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.lineage.resolve_path import lineage
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import content_key


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
    assert kinds == ["checkpoint", "run", "negatives", "judged", "mined", "shards", "corpus", "source files"]
    assert link.holds()
    assert not wrong(link)
    assert link.counts()["verified"] > 200  # the source files are among them


CHANGES = {
    "negatives": "hard_negatives.json",
    "judged": "knn_results.jsonl",
    "mined": "pairs.jsonl",
    "shards": "shard-00000.safetensors",
    "corpus": "functions.parquet",
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_flipped_byte_anywhere_is_noticed(chain, kind):
    start = chain[0] / "checkpoints/best.ckpt"
    path = Path(folder_of(lineage(start), kind)) / CHANGES[kind]
    flip(path)
    found = lineage(start)
    assert not found.holds()
    assert (kind, "changed") in wrong(found)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_rewritten_together_with_its_manifest_is_noticed_downstream(chain, kind):
    """Whoever edits content and digest of one artifact is found out by what was made from it."""
    start = chain[0] / "checkpoints/best.ckpt"
    folder = Path(folder_of(lineage(start), kind))
    path = folder / CHANGES[kind]
    flip(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    if kind == "shards":
        manifest["shards"][0]["digest"] = file_digest(path)
    elif kind == "negatives":
        manifest["made"]["files"][path.name] = file_digest(path)
    else:
        manifest["digest"] = file_digest(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = lineage(start)
    assert not found.holds()


@pytest.mark.parametrize("kind", CHANGES)
def test_a_missing_folder_is_said_to_be_missing(chain, kind):
    start = chain[0] / "checkpoints/best.ckpt"
    shutil.rmtree(folder_of(lineage(start), kind))
    found = lineage(start)
    assert not found.holds()
    assert {state for _, state in wrong(found)} >= {"missing"}


def test_edited_inputs_no_longer_name_the_folder(chain):
    start = chain[0] / "checkpoints/best.ckpt"
    path = Path(folder_of(lineage(start), "mined")) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"]["neighbors"] += 1
    path.write_text(json.dumps(manifest))
    link = next(found for found in lineage(start).walk() if found.kind == "mined")
    assert [check.what for check in link.checks if check.state == "changed"] == ["key of its inputs"]


def test_manifests_of_before_still_work_and_say_what_they_lack(chain):
    run_dir, data = chain
    for path in data.rglob("manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["made"]
        path.write_text(json.dumps(manifest))
    path = run_dir / "provenance.json"
    facts = json.loads(path.read_text())
    for key in ("upstream", "started", "environment", "time"):
        del facts[key]
    facts["git"].pop("diff", None)
    path.write_text(json.dumps(facts))
    (run_dir / "files.json").unlink()
    link = lineage(run_dir / "checkpoints/best.ckpt")
    assert link.holds()
    assert {kind for kind, state in wrong(link) if state == "not recorded"} == {
        *("checkpoint", "run", "negatives", "judged", "mined", "shards", "corpus")
    }
    assert [found.kind for found in link.walk()][-1] == "corpus"


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
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert corpus.name.endswith(content_key(manifest["inputs"]))


def test_what_is_nothing_of_ours_is_one_message(tmp_path):
    with pytest.raises(SigjepaError, match="does not exist"):
        lineage(tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SigjepaError, match="nothing that sigjepa wrote"):
        lineage(tmp_path / "a.txt")
    with pytest.raises(SigjepaError, match="--data-dir"):
        lineage(tmp_path, tmp_path / "no")
