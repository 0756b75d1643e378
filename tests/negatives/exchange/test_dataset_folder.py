"""An exported data set, opened by `datasets` itself."""

import numpy as np
import pytest
import yaml

from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.stage import CorpusStage
from sigjepa.negatives.exchange import dataset_folder
from sigjepa.negatives.exchange.exported import export_dataset
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.store.store import Store


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Forty functions of eight repositories."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for number in range(40):
        place = tmp_path / "code" / f"r{number % 8}"
        place.mkdir(parents=True, exist_ok=True)
        body = "".join(f"    v{i} = x[{number}] {'+-*/'[number % 4]} {i * number}\n" for i in range(2 + number % 5))
        (place / f"f{number}.py").write_text(f"def f{number}(x):\n{body}    return v0\n")
    stage = CorpusStage(Folder([str(tmp_path / "code")]), near_duplicate_threshold=1.0)
    return Store(tmp_path / "data").get(stage)


def negatives_of(train):
    anchors, neighbors = np.repeat(train[:-1], 1), train[1:]
    scores = np.arange(len(anchors), dtype=np.int8) % 2
    judged = JudgedPairs(anchors, neighbors, np.linspace(0.9, 0.6, len(anchors)), scores, "test", [""] * len(anchors))
    return HardNegatives.from_judged(judged, train_ids=train, pair_filter=PairFilter())


def test_datasets_opens_corpus_and_hard_negatives(corpus, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr(dataset_folder, "ROWS_PER_FILE", 7)  # several files a split
    negatives, folder = negatives_of(corpus.ids("train")), tmp_path / "set"
    files = export_dataset(negatives, corpus, folder)
    assert all(file.is_file() for file in files)
    assert sum(file.name.startswith("train") and file.parent.name == "corpus" for file in files) > 1
    functions = load_dataset(str(folder))
    assert set(functions) == {"train", "validation", "test"}
    bodies, signatures = corpus.column("body"), corpus.column("signature")
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        assert list(functions[name]["id"]) == corpus.ids(split).tolist()
        assert list(functions[name]["body"]) == [bodies[i] for i in corpus.ids(split)]
    pairs = load_dataset(str(folder), "hard_negatives")["train"]
    assert len(pairs) == len(negatives) > 0
    for row in pairs:
        found = negatives.negatives_of(row["anchor_id"])
        place = found.ids.tolist().index(row["negative_id"])
        assert (row["cosim"], row["score_c"]) == (found.cosims[place], found.scores[place])
        assert row["anchor"] == signatures[row["anchor_id"]]
        assert (row["positive"], row["negative"]) == (bodies[row["anchor_id"]], bodies[row["negative_id"]])


def test_a_corpus_alone_and_another_one_in_its_place(corpus, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr(dataset_folder, "ROWS_PER_FILE", 7)
    export_dataset(None, corpus, tmp_path / "set")
    monkeypatch.setattr(dataset_folder, "ROWS_PER_FILE", 1000)
    export_dataset(None, corpus, tmp_path / "set", overwrite=True)  # the files of the first are still there
    assert sum(map(len, load_dataset(str(tmp_path / "set")).values())) == len(corpus)
    card = (tmp_path / "set" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert [config["config_name"] for config in front["configs"]] == ["corpus"]
    assert corpus.hash in card
