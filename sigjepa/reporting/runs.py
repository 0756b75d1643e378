"""Run directories, found and read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.artifacts import read_json
from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies, its `summary.json`, and the baselines measured on its pools."""

    folder: Path
    summary: dict[str, Any]
    baselines: dict[str, dict[str, float]]


def find_runs(folders: list[Path]) -> list[Run]:
    """Every finished run in or below `folders`, by path; raises SigjepaError when there is none."""
    summaries = sorted({path for folder in folders for path in folder.rglob("summary.json")})
    if not summaries:
        names = ", ".join(str(folder) for folder in folders)
        raise SigjepaError(f"No run with a summary.json in {names}; give the folder of a run or of a sweep: runs=...")
    runs = [read_run(path.parent) for path in summaries if read_json(path).get("status") == "finished"]
    if not runs:
        raise SigjepaError(f"None of the {len(summaries)} runs found is finished; see 'status' in their summary.json.")
    return runs


def read_run(folder: Path) -> Run:
    """The run in `folder`."""
    return Run(folder, read_json(folder / "summary.json"), read_json(folder / "baselines.json"))
