"""Run directories as a sweep leaves them, small and made up."""

import functools
import json

import numpy as np
import pytest

from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.metrics import default_metrics, query_values, rank_figures
from sigjepa.evaluation.pools import PoolFacts
from sigjepa.evaluation.rank_files import write_arrays
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.runs import read_run
from sigjepa.training.callbacks import write_rows
from sigjepa.training.run_directory import SplitPredictions, write_baselines, write_metrics, write_predictions

QUERIES, PACKAGES = 40, 8


def write_run(
    root,
    name,
    experiment="exp1_4",
    seed=0,
    skill=0.5,
    epochs=4,
    corpus_hash="xxh3_128:a",
    mined=False,
    config=None,
    registry=None,
    folds=None,
    fold=None,
    pools=None,
    monitor="val/rank10",
):
    """Write a finished run whose Rank@k follow from `skill`, the share of queries that it ranks among the first ten."""
    registry = registry or default_metrics()
    folder = root / name
    generator = np.random.default_rng([seed, len(experiment), int(1000 * skill), *([] if fold is None else [fold])])
    evaluated, metrics = {}, {}
    for first, split in ((100, "val"), (200, "test")):
        places = np.where(generator.random(QUERIES) < skill, generator.integers(1, 11, QUERIES), 11)
        ids, ranks = np.arange(first, first + QUERIES), Ranks(places, places)
        if fold is not None:  # of a corpus whose every `folds`-th function is test
            ids = np.arange(fold, folds * QUERIES, folds) if split == "test" else ids
        predictions = generator.normal(size=(QUERIES, 8)).astype(np.float32)
        evaluated[split] = SplitPredictions(ids, ranks, predictions, query_values(ids, ranks, registry))
        metrics |= {f"{split}/{key}": value for key, value in rank_figures(ranks, registry).items()} | {
            f"{split}/cosine": 0.3
        }
    write_predictions(folder, evaluated)
    fifth, random = (Ranks(np.full(QUERIES, best), np.full(QUERIES, worst)) for best, worst in ((5, 5), (1, QUERIES)))
    baselines = {
        "random": Baseline({}, {split: (one.ids, random) for split, one in evaluated.items()}),
        "zero_shot": Baseline({}, {split: (one.ids, fifth) for split, one in evaluated.items()}),
    }
    write_baselines(folder, baselines, registry)
    packages = np.arange(QUERIES) % PACKAGES
    pool = {split: PoolFacts(one.ids, packages, packages == 0) for split, one in evaluated.items()}
    write_arrays(
        folder / "pool.npz", {f"{s}_{name}": a for s, facts in pool.items() for name, a in vars(facts).items()}
    )
    write_metrics(folder, registry, monitor)
    rows = [
        {"epoch": epoch, "step": 10 * epoch, "lr": 1e-3, "val/rank10": metrics["val/rank10"] * (epoch + 1) / epochs}
        | {"train/loss": 4.0 - epoch, "train/gradient_norm": 1.0, "train/infonce_temperature": 0.07}
        | {monitor: metrics[monitor] * (epoch + 1) / epochs}
        for epoch in range(epochs)
    ]
    if mined:
        for row in rows[1:]:
            row |= {"train/infonce_mined_weight": 1.0, "train/infonce_in_batch": 2.0, "train/infonce_mined": 0.5}
            row |= {"train/infonce_mined_mass": 0.25, "train/infonce_covered_anchors": 0.4}
            row |= {"train/infonce_unique_negatives": 30.0, "train/infonce_negatives_per_covered_anchor": 3.0}
            row |= {"train/infonce_negative_cosim": 0.7}
            row |= {"train/infonce_pairs_score0": 30.0, "train/infonce_pairs_score1": 10.0}
    write_rows(folder / "metrics.csv", rows)
    gauges = ("prediction_std", "target_std", "effective_rank", "target_effective_rank")
    gauges += ("pairwise_cosine", "target_pairwise_cosine")
    summary = metrics | {f"val/{gauge}": 0.5 for gauge in gauges}
    summary |= {"experiment": experiment, "seed": seed, "fold": fold, "status": "finished"}
    summary |= {"best_epoch": epochs - 1}
    summary |= {"stopped_epoch": epochs - 1, "temperature": 0.05, "first_loss": 4.2, "wall_seconds": 9.0}
    summary |= {"hard_negative_coverage": 0.4 if mined else 0.0, "hard_negatives_per_anchor": 3.0 if mined else 0.0}
    summary |= {"covered_anchors_per_batch": 25.6} if mined else {}
    (folder / "summary.json").write_text(json.dumps(summary))
    provenance = {
        "command": ["train"],
        "config": {"name": experiment, "seed": seed, "teacher": {"name": "minilm"}, "loss": {}}
        | {"folds": folds, "fold": fold}
        | (config or {}),
        "artifacts": {"corpus_hash": corpus_hash, "corpus": "c", "shards": "s", "negatives": None}
        | {f"{split}_pool": text for split, text in (pools or {}).items()}
        | ({} if fold is None else {"corpus_hash": f"{corpus_hash}-{fold}", "corpus": f"c-{fold}"}),
        "data_dir": str(root / "data"),
        "hard_negatives": {"Judge": "structural", "Total pairs": "12"} if mined else None,
        "git": {"sha": "0" * 40, "dirty": False},
        "versions": {"torch": "2.13.0"},
        "platform": "test",
        "seed": seed,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    job = {"experiment": {"monitor": monitor}, "artifacts": {}, "settings": {}}  # a name is told apart by others
    (folder / "job.json").write_text(json.dumps(job))
    return read_run(folder)


@pytest.fixture
def make_run(tmp_path):
    """Write a run into the folder of this test."""
    return functools.partial(write_run, tmp_path)


@pytest.fixture(scope="module")
def make_shared_run(tmp_path_factory):
    """Write a run into a folder that the tests of a module share and do not change."""
    return functools.partial(write_run, tmp_path_factory.mktemp("runs"))
