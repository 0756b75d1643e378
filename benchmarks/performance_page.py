"""Write docs/performance.md from what the benchmarks measured; what was not measured says so.

    python benchmarks/performance_page.py
    python benchmarks/performance_page.py --results benchmarks/results --page docs/performance.md

Each row is a figure of one JSON file of the results, beside its target. Nothing is measured here.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.reporting.tables import markdown_table

NOT_MEASURED = "not measured"
INTRODUCTION = """# Speed

Each stage beside a limit or a peer on the same work. `make bench` measures and writes this page; a file of
`benchmarks/results/` holds the figures of each table. A target missed stands as missed.
"""
TRAINING = """
Where token states lie on the device (`data.device_resident`, automatic on a GPU with room), batches are gathered there,
losses and figures stay there until `trainer.log_every_n_steps`, and CUDA graphs (`callbacks.cuda_graphs`) replay the
forward and backward pass of each shape of batches that comes often. The data are made up, of the published sizes:
42,056 train functions of 2,048-d states. Time that is longer than was measured is the steps left times the median step.
"""


@dataclass(frozen=True)
class Row:
    """A figure of a file's record: what it is, where it stands, its target (`most` or `least`), and how it is shown."""

    what: str
    value: Callable[[dict[str, Any]], Any]
    most: float | None = None
    least: float | None = None
    unit: str = ""

    def cells(self, record: dict[str, Any]) -> list[str]:
        """Return what, target, figure and verdict."""
        limit = self.most if self.least is None else self.least
        target = "" if limit is None else f"{'≤' if self.least is None else '≥'} {limit:g}{self.unit}"
        try:
            value = self.value(record)
        except (KeyError, TypeError):
            value = None
        if value is None:
            return [self.what, target, NOT_MEASURED, ""]
        if limit is None:
            verdict = ""
        else:
            verdict = "met" if (value <= limit if self.least is None else value >= limit) else "missed"
        return [self.what, target, f"{value:,.0f}{self.unit}" if value >= 100 else f"{value:.3g}{self.unit}", verdict]


def part(*keys: str) -> Callable[[dict[str, Any]], Any]:
    """Return a reader of a value in nested records."""

    def read(record: dict[str, Any]) -> Any:
        value: Any = record
        for key in keys:
            value = value[key]
        return value

    return read


def waits(record: dict[str, Any]) -> float:
    """Return the waits of ten recorded steps; the device's own synchronization is the profiler's."""
    counts = record["parts"]["operations"]["recorded"]
    return float(sum(n for name, n in counts.items() if "Synchronize" in name and "Device" not in name))


ON_PATH = "{}, dropout 0.1"
GPU = [
    Row("Exp 1.4, 39 epochs", part("parts", "exp1_4", "whole_39_epochs_seconds"), most=60, unit=" s"),
    Row("a step of it", part("parts", "exp1_4", "milliseconds_a_step"), unit=" ms"),
    Row("its first epoch, graphs recorded", part("parts", "exp1_4", "first_epoch_seconds"), unit=" s"),
    Row("its memory", part("parts", "exp1_4", "peak_gib"), unit=" GiB"),
    Row("Exp 2.2, 39 epochs", part("parts", "exp2_2", "whole_39_epochs_seconds"), most=480, unit=" s"),
    Row("a step of it", part("parts", "exp2_2", "milliseconds_a_step"), unit=" ms"),
    *(
        Row(
            f"a step of Exp 1.4, {name}",
            part("parts", "paths", ON_PATH.format(path), "milliseconds_a_step"),
            unit=" ms",
        )
        for path, name in (
            ("ordinary", "states on the host"),
            ("resident", "on the device"),
            ("recorded", "and graphs"),
        )
    ),
    Row(
        "time on the device, a step", part("parts", "operations", "recorded", "device_milliseconds_a_step"), unit=" ms"
    ),
    Row("launches a step, on the device", part("parts", "operations", "resident", "launches_a_step")),
    Row("launches a step, and graphs", part("parts", "operations", "recorded", "launches_a_step"), most=150),
    Row("waits in 10 steps, and graphs", waits, most=1),
    Row("a step of one shape, graphs", part("parts", "compiled", "recorded", "milliseconds_a_step"), unit=" ms"),
    Row("and torch.compile", part("parts", "compiled", "compiled", "milliseconds_a_step"), unit=" ms"),
    Row(
        "teacher: share of the matrix rate, useful tokens",
        part("parts", "teacher", "pooled", "share_of_matrix_rate"),
        least=0.45,
    ),
    Row("teacher, states kept: the same", part("parts", "teacher", "states kept", "share_of_matrix_rate"), least=0.45),
]
CPU: dict[str, list[Row]] = {
    "training_epoch": [Row("an epoch of Exp 1.4: speed of a bare loop", part("speed_of_bare_loop"), least=0.85)],
    "teacher_encoding": [Row("teacher: speed, of sentence-transformers", part("speed_ratio"), least=1.35)],
    "mining": [
        Row("mining: time of faiss alone, of ours", part("methods", "faiss IndexFlatIP", "time_of_exact")),
        Row("mining: time of semantic_search, of ours", part("methods", "semantic_search", "time_of_exact")),
        Row("mining: peak memory", part("methods", "sigjepa exact", "median_peak_mib"), unit=" MiB"),
    ],
    "command_start": [
        Row("help of the command report: time, of import hydra", part("ratios", "report --help"), most=2),
        Row("help of the command train: time, of import hydra", part("ratios", "train --help"), most=2),
    ],
}


def page(results: Path) -> str:
    """Return the page of a folder of results."""
    head = ["what", "target", "measured", ""]
    gpu = read(results / "gpu_training.json")
    where = [f"{name}{gpu[key]}" for key, name in (("device", ""), ("torch", "torch "), ("commit", "")) if gpu.get(key)]
    lines = [INTRODUCTION, "## On a GPU\n", TRAINING.strip() + "\n"]
    lines += [f"`benchmarks/gpu_training.py`, {', '.join(where) or NOT_MEASURED}:\n"]
    lines += [
        markdown_table(head, [row.cells(gpu) for row in GPU]),
        "",
        *([gpu["note"], ""] if gpu.get("note") else []),
    ]
    cells = [[*row.cells(read(results / f"{name}.json")), f"`{name}.py`"] for name, rows in CPU.items() for row in rows]
    lines += ["## On a CPU\n", markdown_table([*head, "benchmark"], cells), ""]
    return "\n".join(lines)


def read(file: Path) -> dict[str, Any]:
    """Return a file's record, empty where there is none."""
    if not file.exists():
        return {}
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args(words)
    options.page.write_text(page(options.results), encoding="utf-8")


if __name__ == "__main__":
    main()
