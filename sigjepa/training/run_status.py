"""The summary of a run, `summary.json`, and in it how the run stands; readable before anything heavy is imported."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sigjepa.errors import LostProcessError
from sigjepa.store.credentials import without_credentials
from sigjepa.store.files import atomic_path, read_json
from sigjepa.training.run_file_names import FILES_FILE, JOB_FILE, SUMMARY_FILE

FINISHED = "finished"
INTERRUPTIONS = (KeyboardInterrupt, SystemExit, OSError, MemoryError, LostProcessError)
MACHINE_ERRORS = re.compile(
    r"out of memory|can't allocate memory|DataLoader worker \(pid|(CUDA|HIP|cuDNN|NCCL) error(?!: device-side assert)"
)
"""What torch says of memory, of killed workers and of devices in a RuntimeError; a kernel's assertion is a defect."""


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`: flat, fractions not percent, NaN as null."""
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in summary.items()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(clean, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_status(run_dir: Path) -> str | None:
    """Return `finished`, `running`, `interrupted` or `failed`; None without a summary."""
    path = run_dir / SUMMARY_FILE
    return str(read_json(path).get("status")) if path.exists() else None


@contextmanager
def recorded_refusal(config: DictConfig) -> Iterator[None]:
    """Leave a `summary.json` with the reason in the new folder of a job that is refused before it begins.

    A folder that holds a job already keeps what that has recorded.
    """
    try:
        yield
    except Exception as error:
        run_dir = Path(config.paths.run_dir)
        if run_dir.is_dir() and not (run_dir / JOB_FILE).exists() and not (run_dir / SUMMARY_FILE).exists():
            given: Any = OmegaConf.to_container(config)  # not resolved: that may be what is refused
            numbers = {key: given[key] if isinstance(given[key], int) else None for key in ("seed", "fold")}
            write_summary(run_dir / SUMMARY_FILE, {"experiment": given["name"], **numbers, **ended_by(error)})
        raise


def ended_by(error: BaseException) -> dict[str, str]:
    """Return the status of a run that an error has ended, and the reason.

    It `failed` when the same command would fail again; what a person, a scheduler or the machine did `interrupted` it.
    """
    of_machine = isinstance(error, RuntimeError) and MACHINE_ERRORS.search(str(error))
    status = "interrupted" if of_machine or isinstance(error, INTERRUPTIONS) else "failed"
    return {"status": status, "error": without_credentials(f"{type(error).__name__}: {error}")}


@contextmanager
def recorded_status(run_dir: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Keep `summary.json` honest while a run goes on: `running` now, and what ended it, and why, if it raises."""
    (run_dir / FILES_FILE).unlink(missing_ok=True)  # the digests of files that change from here on
    path = run_dir / SUMMARY_FILE
    write_summary(path, {**facts, "status": "running"})
    try:
        yield
    except BaseException as error:
        write_summary(path, {**facts, **ended_by(error)})
        raise
