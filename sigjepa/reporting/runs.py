"""Run directories, found and read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metric, metric_at
from sigjepa.reporting.experiments import distinct_labels
from sigjepa.reporting.run import UNREADABLE, Run
from sigjepa.reporting.run_files import verified
from sigjepa.reporting.sweeps import is_training, overrides_of, planned_jobs
from sigjepa.runtime.status import FILE_NAME as STATUS_FILE
from sigjepa.runtime.status import process_state
from sigjepa.store.files import read_json, written_files
from sigjepa.training.run_file_names import CURVES_FILE, SUMMARY_FILE
from sigjepa.training.run_status import FINISHED
from sigjepa.training.sweep_jobs import SWEEP_FILE

ROOTS = (Path("multirun"), Path("outputs"))
"""Where runs land."""


def read_run(folder: Path) -> Run:
    """Return the run in `folder`; one that has no readable `summary.json` says so in its status."""
    path = folder / SUMMARY_FILE
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


def readable_for(run: Run, split: str) -> Run:
    """Return the run, or an `unreadable` one with the reason where a file that a report of `split` reads is damaged."""
    try:
        if run.status == FINISHED:
            _ = run.baselines, run.config, run.pool(), run.registry, run.rows
            for half in {"val", split}:
                ids = run.queries(half).ids
                others = [run.ranks(half)[0], run.pool_facts(half).ids]
                shape: tuple[int, ...] = (len(ids), 0)
                if run.scores_by_cosine:
                    predicted, predictions = run.predictions(half)
                    others, shape = [*others, predicted], predictions.shape
                elif run.is_explained:
                    others = [*others, run.first_bodies(half)[0]]
                same = all(np.array_equal(ids, other) for other in others)
                if not same or len(shape) != 2 or shape[0] != len(ids):
                    raise SigjepaError(f"{run.folder} has files of different {half} queries; train it again.")
                for name in run.baselines:
                    run.baseline_queries(name, half)
            for key in ("best_epoch", f"{split}/{run.monitor.partition('/')[2]}", run.monitor):
                run.figure(key)
        elif (run.folder / CURVES_FILE).exists() and run.rows:
            _ = run.registry
        return run
    except SigjepaError as error:
        return replace(run, status=UNREADABLE, reason=str(error))


def alive(folder: Path) -> str:
    """Return whether a run that has not said that it is over still goes on, as far as its `status.json` tells."""
    try:
        status = read_json(folder / STATUS_FILE)
    except SigjepaError:  # a run killed at once has none, and a damaged one is no reason to do without the report
        status = {}
    return process_state(status if isinstance(status, dict) else {})


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Return every run in or below `folders`, whatever its status, and jobs that a sweep there has not started.

    Raises SigjepaError when there is none.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SigjepaError(f"There is no folder {folder}; give the folder of a run or of a sweep: runs=...")
        for path in written_files(folder, SUMMARY_FILE, "overrides.yaml"):
            run_folder = path.parents[1] if path.parent.name == ".hydra" else path.parent
            if run_folder.resolve() not in found and is_training(run_folder):
                found[run_folder.resolve()] = readable(run_folder)
        for job in planned_jobs(folder, found):
            found[job.resolve()] = Run(job, overrides_of(job), "not started", "its sweep has not come to it")
    if not found:
        names = ", ".join(str(folder) for folder in folders)
        raise SigjepaError(f"There is no run in {names}; give the folder of a run or of a sweep: runs=...")
    named = [(run.name, {} if run.status == UNREADABLE else run.identity) for run in found.values()]
    labels = distinct_labels(named)
    labeled = [replace(run, label=label) for run, label in zip(found.values(), labels, strict=True)]
    return sorted(labeled, key=lambda run: (run.experiment, *map(first_none, (run.seed, run.fold)), run.folder))


def first_none(number: int | None) -> int:
    """Return what sorts None before all seeds and folds."""
    return -1 if number is None else number


def read_runs(named: str | Path | Sequence[str | Path]) -> list[Run]:
    """Return every run in or below a folder, several, or the latest sweep or run (`latest`), whatever its status."""
    return find_runs(run_folders(named))


def run_folders(named: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the folders that `runs=` names: one, several, or for `latest` what `latest_folder` finds in `ROOTS`."""
    if named == "latest":
        return [latest_folder(ROOTS)]
    return [Path(folder) for folder in ([named] if isinstance(named, str | Path) else named)]


def latest_folder(roots: Sequence[Path]) -> Path:
    """Return the sweep or single run below `roots` (such as multirun/ and outputs/) that was written last.

    What has failed altogether, such as a command with a misspelled path, is passed over while there is another. A
    sweep is a folder with a `sweep.json`; a run of a sweep stands for all of it. Raises SigjepaError when there is
    none.
    """
    written: dict[Path, int] = {}
    jobs: dict[Path, list[Path]] = {}
    for root in roots:
        for path, when in written_files(root, SUMMARY_FILE).items():
            sweep = path.parents[1]
            folder = sweep if (sweep / SWEEP_FILE).exists() else path.parent
            written[folder] = max(when, written.get(folder, 0))
            jobs.setdefault(folder, []).append(path.parent)
    if not written:
        below = " or ".join(map(str, roots))
        raise SigjepaError(f"There is no run below {below} here; give the folder of a run or of a sweep: runs=...")
    latest = sorted(written, key=lambda folder: written[folder], reverse=True)
    return next((each for each in latest if any(readable(job).status != "failed" for job in jobs[each])), latest[0])


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


def counted(runs: Sequence[Run]) -> str:
    """Return how many runs an experiment has, in words: of seeds, or of folds and seeds."""
    noun = "seed" if all(run.fold is None for run in runs) else "run"
    return f"{len(runs)} {noun}{'s' if len(runs) > 1 else ''}"


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


def of_one_metric(runs: Sequence[Run], key: str) -> list[Run]:
    """Return the runs without those that call by a key such as `val/rank10` another metric than the first one does."""
    metric = metric_at(key, all_metrics(runs))
    return [run for run in runs if run.metrics.get(key.partition("/")[2], metric) == metric]


def common_metrics(runs: Sequence[Run]) -> dict[str, Metric]:
    """Return the metrics that all of the runs have and describe alike: what they can be compared by."""
    alike = all_metrics(runs).items()
    return {name: metric for name, metric in alike if all(run.metrics.get(name) == metric for run in runs)}
