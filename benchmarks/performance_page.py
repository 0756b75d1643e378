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

ON_A_CPU = """
Times are ratios of CPU time on one core: ours, of the peer's or limit's on the same work in the same process, turn
about; the median of the rounds, and their range. Outputs were compared first. Memory is the most of ours beyond what
the process held before. How time and memory grow with the corpus is what `make scale` measures.
"""

OPTIMIZATIONS = """
What was changed for speed or memory, what was expected of it, and what was measured. Students of Exp 1.4, 2.1 and 2.2,
the curriculum and the flagship were trained before and after, and had the same weights, bit for bit.
"""


@dataclass(frozen=True)
class Row:
    """A figure of a file's record: what it is, where it stands, its target (`most` or `least`), and how it is shown.

    memory: where its peak in MiB stands.
    """

    what: str
    value: Callable[[dict[str, Any]], Any]
    most: float | None = None
    least: float | None = None
    unit: str = ""
    memory: Callable[[dict[str, Any]], Any] = lambda record: None

    def cells(self, record: dict[str, Any]) -> list[str]:
        """Return what, target, figure and verdict."""
        limit = self.most if self.least is None else self.least
        target = "" if limit is None else f"{'≤' if self.least is None else '≥'} {limit:g}{self.unit}"
        value = read_value(self.value, record)
        if value is None:
            return [self.what, target, NOT_MEASURED, ""]
        spread = value if isinstance(value, dict) else {}
        value = spread.get("median", value)
        shown = f"{number(value)}{self.unit}"
        if spread and spread["least"] != spread["most"]:
            shown += f" ({number(spread['least'])} to {number(spread['most'])})"
        if limit is None:
            verdict = ""
        else:
            verdict = "met" if (value <= limit if self.least is None else value >= limit) else "missed"
        return [self.what, target, shown, verdict]

    def memory_cell(self, record: dict[str, Any]) -> str:
        """Return the peak memory, empty where the benchmark has none."""
        value = read_value(self.memory, record)
        return "" if value is None else f"{value:,.0f} MiB"


def number(value: float) -> str:
    """Return a figure as the page shows it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def read_value(value: Callable[[dict[str, Any]], Any], record: dict[str, Any]) -> Any:
    """Return a value of a record, None where it is not there."""
    try:
        return value(record)
    except (KeyError, TypeError, ValueError):
        return None


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


def beside(what: str, of: str, *section: str, most: float | None = None) -> Row:
    """Return the row of how many times as long as `of` ours takes, with the peak memory of ours."""
    memory = part(*section, "peak_mib", "sigjepa")
    return Row(f"{what}: time, of {of}", part(*section, "times", of), most=most, memory=memory)


def worst(word: str) -> Callable[[dict[str, Any]], Any]:
    """Return a reader of the largest ratio of a word over all commands."""
    return lambda record: max(value for key, value in record["ratios"].items() if key.endswith(word))


CPU: dict[str, list[Row]] = {
    "corpus_building": [
        beside("extraction", "ast.parse", "extraction", most=1.25),
        beside("extraction", "ast.parse, garbage collection paused", "extraction"),
        beside("near duplicates", "hashing alone", "near_duplicates", most=1.2),
        beside("near duplicates", "datasketch", "near_duplicates"),
    ],
    "teacher_encoding": [
        beside("teacher, states kept", "sentence-transformers", most=0.65),
        beside("teacher, states kept", "matrix products", most=1.25),
    ],
    "shard_reading": [beside("shard reads", "memory map", most=1.3), beside("shard reads", "Arrow")],
    "training_step": [
        beside("training step, published size", "bare loop", "published"),
        beside("training step, published size", "matrix products", "published", most=1.25),
        beside("training step, 8-d student", "bare loop", "small", most=1.15),
        Row("the same, beyond a bare loop", part("small", "milliseconds_more_a_step"), unit=" ms"),
        beside("training step, 8-d student, mined", "bare loop", "mined"),
        Row("the same, beyond a bare loop", part("mined", "milliseconds_more_a_step"), unit=" ms"),
        Row("bare loop of Exp 1.4, with dropout: time, of none", part("dropout", "times", "none")),
        beside("training step, flagship", "products", "flagship"),
    ],
    "training_memory": [
        Row(
            "training at 50,835 functions of 2048-d: memory beyond the imports",
            part("training", "peak_mib"),
            most=1228.8,
            unit=" MiB",
        ),
        Row("whitened baseline at that size: the same", part("whitened baseline", "peak_mib"), unit=" MiB"),
    ],
    "ranking": [
        beside("ranks of a pool, 2048-d", "matrix product", most=1.5),
        beside("ranks of a pool, 2048-d", "sentence-transformers"),
    ],
    "mining": [
        Row(
            f"mining, exact: time, of {name}",
            part("times", name),
            memory=part("methods", "sigjepa exact", "median_peak_mib"),
        )
        for name in ("one product", "faiss IndexFlatIP", "semantic_search")
    ],
    "judging": [
        Row(
            "structural judge: features of a function, all cores",
            part("milliseconds_a_function_on_all_cores"),
            most=0.4,
            unit=" ms",
        ),
        Row("structural judge: features of a function, one core", part("milliseconds_a_function"), unit=" ms"),
        Row("structural judge: a pair, beyond them", part("milliseconds_a_pair"), unit=" ms"),
        Row("structural judge: features, of ast.parse of the body", part("times", "ast.parse")),
    ],
    "command_start": [
        Row("--help, slowest command: time, of import hydra", worst("--help"), most=2),
        Row("misspelled key, slowest command: time, of import hydra", worst("key"), most=2),
    ],
    "warm_run": [
        Row("warm 1-epoch run: CPU time to the first step", part("first_step"), most=5, unit=" s"),
        Row("the imports of torch and lightning alone: CPU time", part("imports"), unit=" s"),
        Row("warm 1-epoch run: CPU time, of the sum of its stages", part("times", "sum of the stages"), most=1.2),
    ],
    "report_building": [Row("report of 12 runs", part("median_seconds"), most=10, unit=" s")],
    "indexing": [
        Row("index of a folder: time, of embedding alone", part("times", "embedding"), most=1.2),
        Row("index of a folder: time, of embedding file by file", part("times", "embedding, file by file")),
    ],
    "search": [
        Row("search, 100,000 bodies: a query", part("largest", "median_ms"), most=60, unit=" ms"),
        Row("search, 100,000 bodies: time, of bm25s", part("times", "bm25s")),
        Row("search, 100,000 bodies: time, of faiss alone", part("times", "faiss")),
        Row("search: start of the command", part("start_s"), most=2, unit=" s"),
        Row("search: start of the command, asking a page", part("page_start_s"), most=2, unit=" s"),
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
    cells = []
    for name, rows in CPU.items():
        record = read(results / f"{name}.json")
        cells += [[*row.cells(record), row.memory_cell(record), f"`{name}.py`"] for row in rows]
    lines += ["## On a CPU\n", ON_A_CPU.strip() + "\n"]
    lines += [markdown_table([*head, "peak memory", "benchmark"], cells), ""]
    done = read(results / "optimizations.json").get("optimizations", [])
    columns = ("what", "expected", "got")
    if done:
        lines += ["## Optimizations\n", OPTIMIZATIONS.strip() + "\n"]
        lines += [markdown_table(list(columns), [[one[name] for name in columns] for one in done]), ""]
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
