"""The artifact of mined pairs: continued after a kill to the same bytes, keyed by its inputs, refused when altered."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.negatives.mining import mined as mining
from sigjepa.negatives.mining.approximate import HNSW, IVF
from sigjepa.negatives.mining.knn import nearest_pairs
from sigjepa.negatives.mining.mined import Mining
from sigjepa.negatives.mining.search import Search
from sigjepa.store.files import read_json

N = 600
SEARCHES = {
    "exact": Search(),
    "ivf": Search(0, IVF(min_recall=0.8)),
    "hnsw": Search(0, HNSW(min_recall=0.8)),
}


class FakeCorpus:
    """`N` functions, of which every third is not train."""

    folder, hash = Path("corpus/fake"), "xxh3_128:fake"

    def ids(self, split=None, tiers=None):
        assert split == "train"
        return np.array([i for i in range(N) if i % 3], dtype=np.int64)


def fake_shards(dtype=torch.float32):
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(N // 5, 8))[rng.integers(0, N // 5, N)] + 0.5 * rng.normal(size=(N, 8))
    return SimpleNamespace(
        folder=Path("teacher/fake-4567"), manifest={}, ids=np.arange(N), body_pooled=torch.from_numpy(bodies).to(dtype)
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(mining, "BLOCK_SIZE", 16)


def made(tmp_path, name="exact", **change):
    recipe = replace(Mining(top_k=4, min_cosim=0.7, search=SEARCHES[name]), **change)
    pairs = recipe.prepare(FakeCorpus(), fake_shards(), tmp_path)
    return pairs, next(tmp_path.glob("mined/*/"))


def test_pairs_are_those_of_the_train_functions(tmp_path):
    pairs, folder = made(tmp_path)
    ids = FakeCorpus().ids("train")
    expected = nearest_pairs(fake_shards().body_pooled.numpy()[ids], ids, top_k=4, min_cosim=0.7)
    for field in ("anchor_ids", "neighbor_ids", "cosim"):
        assert getattr(pairs, field).tolist() == getattr(expected, field).tolist()
    assert pairs.highest_cosim == expected.highest_cosim
    manifest = read_json(folder / "manifest.json")
    assert (manifest["functions"], manifest["pairs"]) == (400, len(pairs))
    assert manifest["search"] == {"method": "exact", "recall": 1.0, "faiss": manifest["search"]["faiss"]}
    assert manifest["search"]["faiss"]


def test_bfloat16_shards_are_mined(tmp_path):
    recipe = Mining(top_k=4, min_cosim=0.7)
    assert len(recipe.prepare(FakeCorpus(), fake_shards(torch.bfloat16), tmp_path))


@pytest.mark.parametrize("name", ["ivf", "hnsw"])
def test_the_manifest_says_the_recall_and_what_it_took(tmp_path, name):
    pairs, folder = made(tmp_path, name)
    record = read_json(folder / "manifest.json")["search"]
    assert record["method"] == name
    assert 0.8 <= record["recall"] <= 1.0
    assert record["recall_queries"] == 400
    assert len(pairs)


CHILD = """
import sys, time
sys.path[:0] = {path!r}
import test_mined
from sigjepa.negatives.mining import mined as mining
found = mining.pair_blocks
def slowly(*arguments, **limits):
    for block in found(*arguments, **limits):
        time.sleep(0.1)
        yield block
mining.pair_blocks, mining.BLOCK_SIZE = slowly, 16
test_mined.made(test_mined.Path({folder!r}), {name!r})
"""


@pytest.mark.parametrize("name", SEARCHES)
def test_killed_while_mining_it_is_continued_to_the_same_bytes(tmp_path, name, caplog, monkeypatch):
    _, uninterrupted = made(tmp_path / "whole", name)
    content = (uninterrupted / "pairs.jsonl").read_bytes()
    folder = tmp_path / "killed" / "mined" / uninterrupted.name
    code = CHILD.format(path=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path / "killed"), name=name)
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 120
        while not (folder / "pairs.jsonl").exists() or (folder / "pairs.jsonl").read_bytes().count(b"\n") < 100:
            assert child.poll() is None, "the child ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        assert child.wait() == -signal.SIGKILL
    left = (folder / "pairs.jsonl").read_bytes()
    assert content.startswith(left)
    assert 0 < len(left) < len(content)
    assert not (folder / "manifest.json").exists()

    first_anchors = []
    found = mining.pair_blocks
    monkeypatch.setattr(
        mining,
        "pair_blocks",
        lambda *arguments, **limits: first_anchors.append(limits["first_anchor"]) or found(*arguments, **limits),
    )
    with caplog.at_level(logging.INFO):
        made(tmp_path / "killed", name)
    assert (folder / "pairs.jsonl").read_bytes() == content
    again, once = (read_json(place / "manifest.json") for place in (folder, uninterrupted))
    assert again | {key: once[key] for key in ("made", "seal")} == once  # but for the time
    assert first_anchors[0] >= 16
    assert f"mining goes on after {first_anchors[0]} of 400 functions" in caplog.text


def test_killed_before_the_manifest_nothing_is_searched_again(tmp_path, monkeypatch):
    _, folder = made(tmp_path / "whole")
    content = (folder / "pairs.jsonl").read_bytes()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mining, "_finish", raises(KeyboardInterrupt()))
        made(tmp_path)
    folder = tmp_path / "mined" / folder.name
    assert not (folder / "manifest.json").exists()
    starts = []
    found = mining.pair_blocks
    monkeypatch.setattr(
        mining,
        "pair_blocks",
        lambda *arguments, **limits: starts.append(limits["first_anchor"]) or found(*arguments, **limits),
    )
    made(tmp_path)
    assert (folder / "pairs.jsonl").read_bytes() == content
    assert starts == []
    assert {path.name for path in folder.iterdir()} == {"pairs.jsonl", "manifest.json"}


def test_pairs_without_a_manifest_are_mined_anew_whatever_they_say(tmp_path):
    _, folder = made(tmp_path)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "manifest.json").unlink()
    (folder / "pairs.jsonl").write_bytes(files["pairs.jsonl"].replace(b'"cosim": 0.9', b'"cosim": 0.8'))
    made(tmp_path)
    assert (folder / "pairs.jsonl").read_bytes() == files["pairs.jsonl"]


def raises(error):
    def raise_it(*_):
        raise error

    return raise_it


def test_two_jobs_at_once_mine_once(tmp_path, monkeypatch):
    calls = []
    found = mining.pair_blocks
    monkeypatch.setattr(
        mining, "pair_blocks", lambda *arguments, **limits: calls.append(1) or found(*arguments, **limits)
    )
    jobs = [threading.Thread(target=made, args=(tmp_path,)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(calls) == 1
    assert (next(tmp_path.glob("mined/*/")) / "manifest.json").exists()


def test_the_search_is_part_of_the_key_only_where_it_is_used(tmp_path):
    _, folder = made(tmp_path)
    _, same = made(tmp_path, search=Search(exact_up_to=400, beyond=HNSW()))
    assert same == folder
    assert len(list(tmp_path.glob("mined/*/"))) == 1
    made(tmp_path, "ivf")
    made(tmp_path, search=Search(0, IVF(min_recall=0.8, seed=1)))
    assert len(list(tmp_path.glob("mined/*/"))) == 3


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_finished_pairs_that_were_altered_are_refused(tmp_path, damage):
    _, folder = made(tmp_path)
    damage(folder / "pairs.jsonl")
    with pytest.raises(SigjepaError, match=r"pairs\.jsonl is missing or was altered after it was mined"):
        made(tmp_path)


def test_lines_are_the_published_names(tmp_path):
    pairs, folder = made(tmp_path)
    first = json.loads((folder / "pairs.jsonl").read_text().splitlines()[0])
    assert first == {
        "anchor_id": int(pairs.anchor_ids[0]),
        "neighbor_id": int(pairs.neighbor_ids[0]),
        "cosim": float(pairs.cosim[0]),
    }
