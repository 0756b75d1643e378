"""Whatever happens to a file of the cache: it is found before it changes anything, and repair mends it alone."""

import random
import shutil
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch

from sigjepa.data.repair import repair_artifacts
from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.runtime.command import config_directory
from sigjepa.runtime.instantiate import instantiate
from sigjepa.store.manifest import content_key


@pytest.fixture
def cache(tiny_datamodule, tiny_data_dir, tmp_path):
    """A copy of the prepared cache that may be damaged, and how to open it as another process would."""
    data, recipe = tiny_datamodule.artifacts(), tiny_datamodule.negatives_recipe
    judged = recipe._judged_inputs(data.corpus, data.shards)
    for folder in (  # other tests leave other artifacts in the shared cache
        *(data.corpus.folder, data.shards.folder, data.hard_negatives.folder),
        *(recipe._judged_folder(tiny_data_dir, judged), tiny_data_dir / "mined" / content_key(judged["mined"])),
        tiny_data_dir / "judgements",
    ):
        shutil.copytree(folder, tmp_path / folder.relative_to(tiny_data_dir))

    def opened():
        with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
            config = hydra.compose(
                "train",
                [
                    *("data=tiny", "experiment=exp2_1", "data.body_states=true", "negatives.tiers=null"),
                    *(f"paths.data_dir={tmp_path}", "paths.run_dir=none", "logger=none"),
                ],
            )
        return instantiate(config.data)

    return tmp_path, opened


def flip(path):
    content = bytearray(path.read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 0x01
    path.write_bytes(bytes(content))


DAMAGES = {
    "flipped": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": Path.unlink,
}
FILES = (
    *("corpus/*/functions.parquet", "corpus/*/manifest.json", "teacher/*/manifest.json"),
    *("mined/*/pairs.jsonl", "mined/*/manifest.json", "judged/*/knn_results.jsonl", "judged/*/manifest.json"),
    *("negatives/*/hard_negatives.json", "negatives/*/hard_negatives.meta.json", "negatives/*/manifest.json"),
)


def content(datamodule):
    data = datamodule.artifacts()
    negatives = data.hard_negatives
    return (
        data.corpus.hash,
        data.shards.body_pooled,
        data.shards.signature_states(3),
        negatives.negatives.values,
        negatives.scores,
        negatives.cosims,
        negatives.related.values,
    )


def assert_same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        if isinstance(ours, torch.Tensor):
            assert torch.equal(ours, theirs)
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", FILES)
def test_damage_is_found_and_mended_alone(cache, tiny_datamodule, pattern, damage):
    folder, opened = cache
    path = next(path for path in folder.glob(pattern) if (path.parent / "manifest.json").exists())
    sound = {file: file.stat().st_mtime_ns for file in folder.rglob("shard-*") if file != path}
    DAMAGES[damage](path)
    missing_manifest = damage == "deleted" and path.name == "manifest.json"  # as before it was finished
    if not missing_manifest:
        with pytest.raises(DamagedError, match=path.name):
            opened().verify()
    datamodule = opened()
    repairs = repair_artifacts(datamodule)
    assert len(repairs) == (0 if missing_manifest else 1)
    assert_same(content(datamodule), content(tiny_datamodule))
    assert {file: file.stat().st_mtime_ns for file in sound} == sound  # no shard but a damaged one is embedded again
    assert repair_artifacts(opened()) == []


def test_a_damaged_shard_is_set_aside_and_embedded_again_to_the_same_bytes(cache):
    folder, opened = cache
    path = next(folder.glob("teacher/*/shard-00000.*"))
    sound = path.read_bytes()
    flip(path)
    damaged = path.read_bytes()
    assert len(repair_artifacts(opened())) == 1
    assert path.read_bytes() == sound
    assert path.with_name(f"{path.name}.damaged-1").read_bytes() == damaged


def test_what_was_brought_is_not_repaired(cache):
    _, opened = cache
    datamodule = opened()
    from sigjepa.negatives.exchange.imported_index import IndexFile

    datamodule.negatives_recipe = IndexFile("nowhere.json")
    with pytest.raises(SigjepaError, match=r"nowhere.json does not exist"):
        repair_artifacts(datamodule)
