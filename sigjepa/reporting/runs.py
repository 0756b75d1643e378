"""Run directories, found and read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.pools import PoolFacts
from sigjepa.evaluation.rank_files import read_arrays, read_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.experiments import tell_apart
from sigjepa.reporting.run_files import as_mapping, read_pool_facts, read_queries, read_rows, verified
from sigjepa.reporting.sweeps import is_training, overrides_of, planned_jobs
from sigjepa.runtime.status import FILE_NAME as STATUS_FILE
from sigjepa.runtime.status import sign_of_life
from sigjepa.store.files import read_json
from sigjepa.training.job import JOB_FILE
from sigjepa.training.run_directory import FINISHED, METRICS_FILE, POOL_FILE, QUERIES_FILE
from sigjepa.training.sweep_jobs import SWEEP_FILE

METRICS_CSV, UNREADABLE = "metrics.csv", "unreadable"
ROOTS = (Path("multirun"), Path("outputs"))
"""Where runs land."""


@dataclass(frozen=True)
class Run:
    """A run directory and what its files hold.

    status: `finished`, `running`, `interrupted` or `failed` as its `summary.json` says, `missing` without one,
    `unreadable` with a damaged file, or `not started` for a job of a sweep that has no folder yet. reason: why it is
    not finished. label: what tables call its experiment, where that is not the name. Every file is read when it is
    asked for and raises SigjepaError naming it when it can't be read.
    """

    folder: Path
    summary: dict[str, Any]
    status: str
    reason: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """The name that the run was given."""
        return " ".join(str(self.summary.get("experiment", self.folder.name)).split())

    @property
    def experiment(self) -> str:
        """What tables call the run's experiment: its name, told apart from others of that name by what differs."""
        return self.label or self.name

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that make the run's experiment, see `job.experiment_settings`; empty for a run without any."""
        path = verified(self.folder, JOB_FILE)
        identity = as_mapping(read_json(path), path).get("experiment") if path.exists() else {}
        return as_mapping(identity, path)

    @property
    def seed(self) -> int | None:
        """The student's seed, where it is known."""
        return self.summary.get("seed")

    def figure(self, key: str) -> float:
        """Return a figure of `summary.json`; raises SigjepaError naming the file and the key when it is not there."""
        value = self.summary.get(key)
        if not isinstance(value, int | float):
            raise SigjepaError(
                f"{self.folder / 'summary.json'} has no figure '{key}' (found: {value}). Leave the run out, or train "
                "it again."
            )
        return float(value)

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Metrics of each baseline on the run's pools."""
        return read_json(verified(self.folder, "baselines.json"))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The code, config and artifacts from which the run came."""
        path = verified(self.folder, "provenance.json")
        provenance = read_json(path)
        kinds = {"config": dict, "artifacts": dict, "git": dict, "data_dir": str}
        if not isinstance(provenance, dict) or not all(
            isinstance(provenance.get(key), kind) for key, kind in kinds.items()
        ):
            raise SigjepaError(
                f"{path} is not the provenance of a run (its {', '.join(kinds)}); leave the run out, or train it again."
            )
        return provenance

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return self.provenance["config"]

    def pool(self) -> str:
        """Return the identity of the held-out pools: the hash of the corpus and its splits."""
        if "corpus_hash" not in self.provenance["artifacts"]:
            path = self.folder / "provenance.json"
            raise SigjepaError(f"{path} names no corpus_hash; leave the run out, or train it again.")
        return str(self.provenance["artifacts"]["corpus_hash"])

    @cached_property
    def registry(self) -> tuple[str, dict[str, Metric]]:
        """The metric that the run was selected by, and the description of each of its metrics, by name."""
        path = verified(self.folder, METRICS_FILE)
        record = read_json(path)
        try:
            return str(record["monitor"]), {name: Metric(**entry) for name, entry in record["metrics"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise SigjepaError(
                f"{path} does not say what the run's metrics are ({error}); leave the run out, or train it again."
            ) from None

    @property
    def monitor(self) -> str:
        """The key of the metric that the run was selected by, such as `val/rank10`."""
        return self.registry[0]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Descriptions of the run's metrics, by name."""
        return self.registry[1]

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """Rows of `metrics.csv`, absent values left out."""
        return read_rows(verified(self.folder, METRICS_CSV))

    def curve(self, metric: str) -> dict[int, float]:
        """Return a metric by epoch; raises SigjepaError naming the file when no epoch has it."""
        curve = {int(row["epoch"]): row[metric] for row in self.rows if metric in row}
        if not curve:
            raise SigjepaError(
                f"{self.folder / 'metrics.csv'} has no value of '{metric}': no epoch was validated, or the name is "
                f"wrong. Leave the run out, or choose metric= among its columns."
            )
        return curve

    def check_began(self) -> None:
        """Raise SigjepaError when the run was to learn from mined candidates and its best checkpoint never saw one."""
        infonce = (self.config.get("loss") or {}).get("infonce") or {}
        if not self.config.get("negatives") or infonce.get("mined_candidates") in (None, "none"):
            return
        best = self.figure("best_epoch")
        used = (row for row in self.rows if row["epoch"] <= best and row.get("train/infonce_mined_weight", 0) > 0)
        if not any(row.get("train/infonce_unique_negatives", 0) > 0 for row in used):
            raise SigjepaError(
                f"never began: no mined candidate stood in the softmax up to the best epoch, {best:.0f}; train longer, "
                "or begin with them earlier"
            )

    def ranks(self, split: str) -> tuple[np.ndarray, Ranks]:
        """Return ids `[N]` and ranks of the queries of a split, for the best checkpoint."""
        return read_ranks(verified(self.folder, "ranks.npz"), split)

    def queries(self, split: str) -> QueryValues:
        """Return the values of every query of a split, of the best checkpoint, by metric."""
        return self._queries(QUERIES_FILE, split)

    def baseline_queries(self, name: str, split: str) -> QueryValues:
        """Return the values of every query of a split, of a baseline on the same pool, by metric."""
        return self._queries(f"baselines/{name}.npz", split)

    def _queries(self, file: str, split: str) -> QueryValues:
        names = [name for name, metric in self.metrics.items() if metric.per_query and split in metric.splits]
        return read_queries(verified(self.folder, file), split, names)

    def pool_facts(self, split: str) -> PoolFacts:
        """Return the package of each query of a split, and whether its signature stands in train."""
        return read_pool_facts(verified(self.folder, POOL_FILE), split)

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids `[N]` and the best checkpoint's predictions `[N, D]` of a split."""
        ids, pooled = read_arrays(verified(self.folder, "predictions.npz"), f"{split}_ids", f"{split}_pooled")
        return ids, pooled


def read_run(folder: Path) -> Run:
    """Return the run in `folder`; one that has no readable `summary.json` says so in its status."""
    path = folder / "summary.json"
    if not path.exists():
        return Run(folder, overrides_of(folder), "missing", "it has no summary.json: it never began, or lost it")
    summary = read_json(verified(folder, path.name))
    if not isinstance(summary, dict):
        raise SigjepaError(f"{path} is not the summary of a run; leave the run out, or train it again.")
    status = str(summary.get("status", "missing"))
    if status == "running":
        return Run(folder, summary, status, alive(folder))
    error = str(summary.get("error", "no reason recorded"))
    return Run(folder, summary, status, error if status in ("failed", "interrupted") else "")


def readable(folder: Path) -> Run:
    """Return the run in `folder`; one with a damaged record is `unreadable` and says why, so that others go on."""
    try:
        run = read_run(folder)
        _ = run.identity
        return run
    except SigjepaError as error:
        return Run(folder, {}, UNREADABLE, str(error))


def checked(run: Run, split: str) -> Run:
    """Return the run, or an `unreadable` one with the reason where a file that a report of `split` reads is damaged."""
    try:
        if run.status == FINISHED:
            _ = run.baselines, run.config, run.pool(), run.registry, run.rows
            for one in {"val", split}:
                ids, predictions = run.predictions(one)
                others = (run.queries(one).ids, run.ranks(one)[0], run.pool_facts(one).ids)
                same = all(np.array_equal(ids, other) for other in others)
                if not same or predictions.ndim != 2 or len(predictions) != len(ids):
                    raise SigjepaError(f"{run.folder} has files of different {one} queries; train it again.")
                for name in run.baselines:
                    run.baseline_queries(name, one)
            for key in ("best_epoch", f"{split}/{run.monitor.partition('/')[2]}", run.monitor):
                run.figure(key)
        elif (run.folder / METRICS_CSV).exists() and run.rows:
            _ = run.registry
        return run
    except SigjepaError as error:
        return replace(run, status=UNREADABLE, reason=str(error))


def alive(folder: Path) -> str:
    """Return whether a run that has not said that it is over still goes on, as far as its `status.json` tells."""
    try:
        status = read_json(folder / STATUS_FILE)
    except SigjepaError:  # an older run has none, and a damaged one is no reason to do without the report
        status = {}
    return sign_of_life(status if isinstance(status, dict) else {})


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Return every run in or below `folders`, whatever its status, and jobs that a sweep there has not started.

    Raises SigjepaError when there is none.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SigjepaError(f"There is no folder {folder}; give the folder of a run or of a sweep: runs=...")
        for marker in ("summary.json", ".hydra/overrides.yaml"):
            for path in sorted(folder.rglob(marker)):
                run_folder = path.parents[marker.count("/")]
                if is_training(run_folder):
                    found.setdefault(run_folder.resolve(), readable(run_folder))
        for job in planned_jobs(folder, found):
            found[job.resolve()] = Run(job, overrides_of(job), "not started", "its sweep has not come to it")
    if not found:
        names = ", ".join(str(folder) for folder in folders)
        raise SigjepaError(f"There is no run in {names}; give the folder of a run or of a sweep: runs=...")
    labels = tell_apart([(run.name, run.identity) for run in found.values()])
    labelled = [replace(run, label=label) for run, label in zip(found.values(), labels, strict=True)]
    return sorted(labelled, key=lambda run: (run.experiment, run.seed if run.seed is not None else -1, run.folder))


def read_runs(named: str | Path | Sequence[str | Path]) -> list[Run]:
    """Return every run in or below a folder, several, or the latest sweep or run (`latest`), whatever its status."""
    return find_runs(run_folders(named))


def run_folders(named: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the folders that `runs=` names: one, several, or for `latest` what was written last below `ROOTS`."""
    if named == "latest":
        return [latest_folder(ROOTS)]
    return [Path(folder) for folder in ([named] if isinstance(named, str | Path) else named)]


def latest_folder(roots: Sequence[Path]) -> Path:
    """Return the sweep or single run below `roots` (such as multirun/ and outputs/) that was written last.

    A sweep is a folder with a `sweep.json`; a run of a sweep stands for all of it. Raises SigjepaError when there
    is none.
    """
    written: dict[Path, float] = {}
    for root in roots:
        for path in root.glob("**/summary.json"):
            sweep = path.parents[1]
            folder = sweep if (sweep / SWEEP_FILE).exists() else path.parent
            written[folder] = max(path.stat().st_mtime, written.get(folder, 0.0))
    if not written:
        below = " or ".join(map(str, roots))
        raise SigjepaError(f"There is no run below {below} here; give the folder of a run or of a sweep: runs=...")
    return max(written, key=lambda folder: written[folder])


def finished_runs(runs: Sequence[Run]) -> list[Run]:
    """Return those that are finished; raises SigjepaError when none is."""
    finished = [run for run in runs if run.status == FINISHED]
    if not finished:
        statuses = ", ".join(f"{run.folder.name}: {run.status}" for run in runs[:5]) + ", …" * (len(runs) > 5)
        raise SigjepaError(
            f"None of the {len(runs)} runs found is finished ({statuses}); see 'status' "
            "in their summary.json, or wait with watch=true."
        )
    return finished


def by_experiment(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each experiment, in the order given; what differs between them is the seed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    return groups


def repeated_seeds(runs: Sequence[Run]) -> list[int | None]:
    """Return the seeds that more than one of an experiment's runs has."""
    return [seed for seed, count in Counter(run.seed for run in runs).items() if count > 1]


def why_no_repetitions(runs: Sequence[Run]) -> str:
    """Return why the spread of an experiment's runs says nothing about seeds; empty where it does, or for one run."""
    if repeated := repeated_seeds(runs):
        return f"several runs have seed {', '.join(map(str, repeated))}"
    return "the runs are on different pools" if len({run.pool() for run in runs}) > 1 else ""


def all_metrics(runs: Sequence[Run]) -> dict[str, Metric]:
    """Return the metrics that any of the runs has, by name, in the order in which they first stand."""
    metrics: dict[str, Metric] = {}
    for run in runs:
        metrics = metrics | {name: metric for name, metric in run.metrics.items() if name not in metrics}
    return metrics


def common_metrics(runs: Sequence[Run]) -> dict[str, Metric]:
    """Return the metrics that all of the runs have and describe alike: what they can be compared by."""
    alike = all_metrics(runs).items()
    return {name: metric for name, metric in alike if all(run.metrics.get(name) == metric for run in runs)}
