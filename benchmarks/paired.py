"""Alternatives timed on the same work, turn about, and what is told of them: ratios of the times of a round."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from process_memory import forget_peak, memory_kib

from sigjepa.reporting.tables import markdown_table


@dataclass(frozen=True)
class Timed:
    """What a case returns that keeps its own time: what goes before its work is not counted."""

    seconds: float
    value: Any


Clock = Callable[[], float]
"""`time.process_time` of a work on one core: a machine that is busy does not slow it; else `time.perf_counter`."""


def compare(
    cases: Mapping[str, Callable[[], Any]],
    agree: Callable[[Mapping[str, Any]], None],
    repeats: int,
    clock: Clock = time.process_time,
) -> dict[str, Any]:
    """Return seconds and peak memory of each case, and how long the first one took as a multiple of each other's.

    agree: raises AssertionError where the results by case, of a first round that is not timed, are not those of the
    same work. Rounds begin with another case each, so that none has the cooler machine. Memory is the most MiB beyond
    what the process held before, in the first round.
    """
    results, peaks = {}, {}
    for name, run in cases.items():
        forget_peak()
        before = memory_kib("VmRSS")
        found = run()
        results[name] = found.value if isinstance(found, Timed) else found
        peaks[name] = max(0, memory_kib("VmHWM") - before) / 1024
    agree(results)
    del results
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats):
        names = list(cases)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            began = clock()
            found = cases[name]()
            seconds[name].append(found.seconds if isinstance(found, Timed) else clock() - began)
    first, *others = cases
    return {
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "peak_mib": peaks,
        "times": {
            name: spread_of([one / other for one, other in zip(seconds[first], seconds[name], strict=True)])
            for name in others
        },
        "load_average": os.getloadavg()[0],
    }


def spread_of(values: list[float]) -> dict[str, float]:
    """Return the median of values, the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def print_comparison(title: str, record: Mapping[str, Any]) -> None:
    """Print a record of `compare` as a table."""
    rows = []
    for name, seconds in record["seconds"].items():
        ratio = record["times"].get(name)
        times = "" if ratio is None else f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        rows.append([name, f"{seconds:.3f}", times, f"{record['peak_mib'][name]:,.0f}"])
    ours = next(iter(record["seconds"]))
    print(f"{title}\n{markdown_table(['', 'median s', f'{ours} takes so many times as long', 'peak MiB'], rows)}\n")
