"""What a local W&B run holds, read by what `wandb leet inspect` calls, W&B's own reader of its transaction log."""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any


def transaction_log(run_dir: Path) -> Path:
    """The one `.wandb` file below a run directory that holds records."""
    (path,) = [path for path in run_dir.glob("wandb/*run-*/run-*.wandb") if path.stat().st_size]
    return path


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a `.wandb` file, in the order in which they were written; who asks must not change them."""
    return _read_records(path, path.stat().st_mtime_ns)


@functools.cache
def _read_records(path: Path, _modified: int) -> list[dict[str, Any]]:
    from wandb.util import get_core_path  # seconds that only some of the processes need

    words = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", path.resolve()]
    words.append(path.resolve().parents[1])
    # it keeps a log where it runs
    done = subprocess.run(words, cwd=path.parent, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The contents of the records of one type: `run`, `metric`, `history`, `artifact`, `exit`, …"""
    return [record[kind] for record in records if record["type"] == kind]


def history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each `run.log` wrote, by key."""
    return [record["item"] for record in of_type(records, "history")]


def definitions(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics that were defined by name, a pattern's aside."""
    return {record["name"]: record for record in of_type(records, "metric") if "name" in record}


def tables(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of the last version of each W&B table that a run directory's W&B run logged, by name."""
    found = {}
    path = transaction_log(run_dir)
    for item in history(read_records(path)):
        for key, kind in item.items():
            if key.endswith("._type") and kind == "table-file":
                name = key.removesuffix("._type")
                content = json.loads((path.parent / "files" / item[f"{name}.path"]).read_text())
                found[name] = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return found
