"""The run directory: the files that every reader of a finished run relies on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.pool_sample import PoolSample
from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.first_bodies import FirstBodies
from sigjepa.evaluation.metrics import Metrics, QueryValues
from sigjepa.evaluation.pools import pool_facts
from sigjepa.evaluation.rank_files import write_arrays, write_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.store.files import write_json
from sigjepa.training.run_file_names import (
    BASELINES_FILE,
    BASELINES_FOLDER,
    EXPLAINED_FILE,
    METRICS_FILE,
    POOL_FILE,
    PREDICTIONS_FILE,
    QUERIES_FILE,
    RANKS_FILE,
)


@dataclass(frozen=True)
class SplitPredictions:
    """Hold one split as a student sees it: ids `[N]`, ascending, their ranks, predictions `[N, D]`, and their values.

    predictions: None of a student whose score is not the cosine of one vector. queries: of every metric that has one a
    query. first: what a student of several views ranks first and why, of a pass after training.
    """

    ids: np.ndarray
    ranks: Ranks
    predictions: np.ndarray | None
    queries: QueryValues
    first: FirstBodies | None = None


def write_query_values(path: Path, queries: Mapping[str, QueryValues]) -> None:
    """Write an `.npz` of what queries score: for each split `<split>_ids` and `<split>_<metric>`, `[N]`."""
    arrays: dict[str, Any] = {}
    for split, measured in queries.items():
        arrays[f"{split}_ids"] = measured.ids
        arrays |= {f"{split}_{name}": values for name, values in measured.values.items()}
    write_arrays(path, arrays)


def write_metrics(run_dir: Path, metrics: Metrics, monitor: str) -> None:
    """Write `metrics.json`: what is monitored, and each metric's description, for readers who can't import it."""
    described = {name: metric.description() for name, metric in metrics.items()}
    write_json(run_dir / METRICS_FILE, {"monitor": monitor, "metrics": described})


def write_predictions(run_dir: Path, evaluated: Mapping[str, SplitPredictions]) -> None:
    """Write what a checkpoint predicts for each split.

    `ranks.npz`, `queries.npz` with the values of metrics, and, where ranks follow from them, `predictions.npz` with
    `<split>_ids` `[N]` and `<split>_pooled` `[N, D]`, or else `explained.npz` with `<split>_ids` and the fields of
    `FirstBodies` and its `PairShares`.
    """
    write_ranks(run_dir / RANKS_FILE, {split: (of_split.ids, of_split.ranks) for split, of_split in evaluated.items()})
    write_query_values(run_dir / QUERIES_FILE, {split: of_split.queries for split, of_split in evaluated.items()})
    predictions: dict[str, Any] = {}
    for split, of_split in evaluated.items():
        if of_split.predictions is not None:
            predictions |= {f"{split}_ids": of_split.ids, f"{split}_pooled": of_split.predictions}
    explained: dict[str, Any] = {}
    for split, of_split in evaluated.items():
        if (first := of_split.first) is not None:
            arrays = {"ids": of_split.ids, "places": first.places, "scores": first.scores, **vars(first.shares)}
            explained |= {f"{split}_{name}": array for name, array in arrays.items()}
    for name, file in ((PREDICTIONS_FILE, predictions), (EXPLAINED_FILE, explained)):
        if file:
            write_arrays(run_dir / name, file)


def write_pool_facts(run_dir: Path, corpus: Corpus, sample: PoolSample) -> None:
    """Write `pool.npz`, the facts of a corpus' held-out queries.

    For each split `<split>_ids`, `<split>_packages` and `<split>_in_train`, `[N]`.
    """
    write_arrays(
        run_dir / POOL_FILE,
        {
            f"{split}_{name}": array
            for split, facts in pool_facts(corpus, sample).items()
            for name, array in vars(facts).items()
        },
    )


def baseline_figures(baselines: Mapping[str, Baseline], metrics: Metrics) -> dict[str, dict[str, float]]:
    """Return the figures of each baseline by key: `metrics`, and its others."""
    return {name: baseline.figures_of(metrics) for name, baseline in baselines.items()}


def write_baselines(run_dir: Path, baselines: Mapping[str, Baseline], metrics: Metrics) -> None:
    """Write `baselines.json`, figures by baseline, and `baselines/<name>.npz`, what each query scores."""
    for name, baseline in baselines.items():
        write_query_values(run_dir / BASELINES_FOLDER / f"{name}.npz", baseline.queries(metrics))
    write_json(run_dir / BASELINES_FILE, baseline_figures(baselines, metrics))
