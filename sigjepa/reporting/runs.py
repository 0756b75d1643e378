"""Run directories, found and read."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.rank_files import read_arrays, read_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.sweeps import is_training, overrides_of, planned_jobs
from sigjepa.runtime.status import FILE_NAME as STATUS_FILE
from sigjepa.runtime.status import sign_of_life
from sigjepa.store.files import file_digest, read_json
from sigjepa.training.run_directory import FILES_FILE, FINISHED

ROOTS = (Path("multirun"), Path("outputs"))
"""Where runs land."""


@dataclass(frozen=True)
class Run:
    """A run directory and what its files hold.

    status: `finished`, `running`, `interrupted` or `failed` as its `summary.json` says, `missing` without one, or
    `not started` for a job of a sweep that has no folder yet. reason: why it is not finished. Every file is read when
    it is asked for and raises SigjepaError naming it when it can't be read.
    """

    folder: Path
    summary: dict[str, Any]
    status: str
    reason: str = ""

    @property
    def experiment(self) -> str:
        """What tables call the run."""
        return str(self.summary.get("experiment", self.folder.name))

    @property
    def seed(self) -> int | None:
        """The student's seed, where it is known."""
        return self.summary.get("seed")

    def figure(self, key: str) -> float:
        """A figure of `summary.json`; raises SigjepaError naming the file and the key when it is not there."""
        value = self.summary.get(key)
        if not isinstance(value, int | float):
            raise SigjepaError(
                f"{self.folder / 'summary.json'} has no figure '{key}' (found: {value}); the run is of an older "
                "version, or was edited. Run it again, or leave it out."
            )
        return float(value)

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Metrics of each baseline on the run's pools."""
        return read_json(verified(self.folder, "baselines.json"))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """From which code, config and artifacts the run came."""
        path = verified(self.folder, "provenance.json")
        provenance = read_json(path)
        if not isinstance(provenance, dict) or not all(
            isinstance(provenance.get(key, {}), dict) for key in ("config", "artifacts", "git")
        ):
            raise SigjepaError(f"{path} is not the provenance of a run; leave the run out, or train it again.")
        if missing := [key for key in ("config", "artifacts", "data_dir", "git") if key not in provenance]:
            raise SigjepaError(f"{path} has no {', '.join(missing)}: the run is of an older version. Run it again.")
        return provenance

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return self.provenance["config"]

    def pool(self) -> str:
        """Identity of the held-out pools: the hash of the corpus and its splits."""
        if "corpus_hash" not in self.provenance["artifacts"]:
            path = self.folder / "provenance.json"
            raise SigjepaError(f"{path} names no corpus_hash: the run is of an older version. Run it again.")
        return str(self.provenance["artifacts"]["corpus_hash"])

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """Rows of `metrics.csv`, absent values left out."""
        return read_metrics(verified(self.folder, "metrics.csv"))

    def curve(self, metric: str) -> dict[int, float]:
        """A metric by epoch; raises SigjepaError naming the file when no epoch has it."""
        curve = {int(row["epoch"]): row[metric] for row in self.metrics if metric in row}
        if not curve:
            raise SigjepaError(
                f"{self.folder / 'metrics.csv'} has no value of '{metric}': no epoch was validated, or the name is "
                f"wrong. Leave the run out, or choose metric= among its columns."
            )
        return curve

    def ranks(self, split: str) -> tuple[np.ndarray, Ranks]:
        """Ids `[N]` and ranks of the queries of a split, for the best checkpoint."""
        return read_ranks(verified(self.folder, "ranks.npz"), split)

    def baseline_ranks(self, name: str, split: str) -> tuple[np.ndarray, Ranks]:
        """Ids `[N]` and ranks of the queries of a split, for a baseline on the same pool."""
        return read_ranks(verified(self.folder, f"baselines/{name}.npz"), split)

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids `[N]` and the best checkpoint's predictions `[N, D]` of a split."""
        ids, pooled = read_arrays(verified(self.folder, "predictions.npz"), f"{split}_ids", f"{split}_pooled")
        return ids, pooled


def read_run(folder: Path) -> Run:
    """The run in `folder`; one that has no readable `summary.json` says so in its status."""
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


def verified(folder: Path, name: str) -> Path:
    """The path of a run's file; raises SigjepaError naming it when it is not as the run left it when it finished.

    Runs that are not finished, and those of before there were digests, are read without.
    """
    record = folder / FILES_FILE
    if record.exists():
        files = read_json(record)
        digest = files.get("files", {}).get(name) if isinstance(files, dict) else None
        if digest is not None and (folder / name).is_file() and file_digest(folder / name) != digest:
            raise SigjepaError(
                f"{folder / name} was altered after its run had finished: its digest is not that of {record.name}. "
                "Leave the run out, or train it again with resume=never."
            )
    return folder / name


def alive(folder: Path) -> str:
    """Whether a run that has not said that it is over still goes on, as far as its `status.json` tells."""
    try:
        status = read_json(folder / STATUS_FILE)
    except SigjepaError:  # an older run has none, and a damaged one is no reason to do without the report
        status = {}
    return sign_of_life(status if isinstance(status, dict) else {})


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run in or below `folders`, whatever its status, and jobs that a sweep there has not started.

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
                    found.setdefault(run_folder.resolve(), read_run(run_folder))
        for job in planned_jobs(folder, found):
            found[job.resolve()] = Run(job, overrides_of(job), "not started", "its sweep has not come to it")
    if not found:
        names = ", ".join(str(folder) for folder in folders)
        raise SigjepaError(f"There is no run in {names}; give the folder of a run or of a sweep: runs=...")
    return sorted(
        found.values(), key=lambda run: (run.experiment, run.seed if run.seed is not None else -1, run.folder)
    )


def read_runs(named: str | Path | Sequence[str | Path]) -> list[Run]:
    """Return every run in or below a folder, several, or the latest sweep or run (`latest`), whatever its status."""
    return find_runs(run_folders(named))


def run_folders(named: str | Path | Sequence[str | Path]) -> list[Path]:
    """The folders that `runs=` names: one, several, or for `latest` what was written last below `ROOTS`."""
    if named == "latest":
        return [latest_folder(ROOTS)]
    return [Path(folder) for folder in ([named] if isinstance(named, str | Path) else named)]


def latest_folder(roots: Sequence[Path]) -> Path:
    """The sweep or single run below `roots` (such as multirun/ and outputs/) that was written last.

    A sweep is a folder with a `multirun.yaml`; a run of a sweep stands for all of it. Raises SigjepaError when there
    is none.
    """
    written: dict[Path, float] = {}
    for root in roots:
        for path in root.glob("**/summary.json"):
            sweep = path.parents[1]
            folder = sweep if (sweep / "multirun.yaml").exists() else path.parent
            written[folder] = max(path.stat().st_mtime, written.get(folder, 0.0))
    if not written:
        below = " or ".join(map(str, roots))
        raise SigjepaError(f"There is no run below {below} here; give the folder of a run or of a sweep: runs=...")
    return max(written, key=lambda folder: written[folder])


def finished_runs(runs: Sequence[Run]) -> list[Run]:
    """Those that are finished; raises SigjepaError when none is."""
    finished = [run for run in runs if run.status == FINISHED]
    if not finished:
        statuses = ", ".join(f"{run.folder.name}: {run.status}" for run in runs[:5]) + ", …" * (len(runs) > 5)
        raise SigjepaError(
            f"None of the {len(runs)} runs found is finished ({statuses}); see 'status' "
            "in their summary.json, or wait with watch=true."
        )
    return finished


def by_experiment(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each experiment, in the order given; what differs between them is the seed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    return groups


def repeated_seeds(runs: Sequence[Run]) -> list[int | None]:
    """Seeds that more than one of an experiment's runs has."""
    return [seed for seed, count in Counter(run.seed for run in runs).items() if count > 1]


def why_no_repetitions(runs: Sequence[Run]) -> str:
    """Why the spread of an experiment's runs says nothing about seeds; empty where it does, or there is one run."""
    if repeated := repeated_seeds(runs):
        return f"several runs have seed {', '.join(map(str, repeated))}"
    return "the runs are on different pools" if len({run.pool() for run in runs}) > 1 else ""


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of a `metrics.csv`; raises SigjepaError naming the file and the line that can't be read."""
    rows: list[dict[str, float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            for cells in reader:
                try:
                    row = {name: float(value) for name, value in cells.items() if value}
                    int(row["epoch"])
                except (KeyError, ValueError, TypeError, OverflowError):
                    raise SigjepaError(
                        f"{path}, line {reader.line_num} is not a row of numbers under the file's header; "
                        "delete that line, or leave the run out."
                    ) from None
                rows.append(row)
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; the run has written no epoch. Leave it out.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SigjepaError(f"{path} can't be read ({error}); leave the run out, or repair the file.") from None
    return [{name: value for name, value in row.items() if not math.isnan(value)} for row in rows]
