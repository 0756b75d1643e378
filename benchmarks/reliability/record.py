"""What a reliability measurement leaves behind: one table, as JSON for the page and as Markdown on the terminal."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json

RESULTS = Path("benchmarks/results/reliability")


def options(name: str, description: str | None, seconds: float) -> argparse.ArgumentParser:
    """The options that every measurement takes: how long it may go on, its seed, and where its record goes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"stop after about so long (default {seconds:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (default 0)")
    parser.add_argument("--output", type=Path, default=RESULTS / f"{name}.json")
    return parser


def write_record(
    path: Path,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    lost: int,
    started: float,
    notes: Sequence[str] = (),
) -> None:
    """Write and print one table; `lost`: its cases that were not survived, `started`: of `time.perf_counter()`."""
    record = {
        "title": title,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "lost": lost,
        "notes": list(notes),
        "seconds": round(time.perf_counter() - started, 1),
        "load_average": os.getloadavg()[0],
    }
    write_json(path, record)
    print(f"{title}\n\n{markdown_table(columns, rows)}\n" + "".join(f"\n{note}" for note in notes), flush=True)
