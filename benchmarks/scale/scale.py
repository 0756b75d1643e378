"""The chain at ten thousand, 100 thousand and a million functions: time, memory and disk of each stage.

    python benchmarks/scale/scale.py                                    # make scale: at most 40 minutes on 2 cores
    python benchmarks/scale/scale.py --sizes 2000 5000 10000            # minutes
    python benchmarks/scale/scale.py --page-only --cores 1024           # another plan from the same measurements

Each stage is a process of its own. It writes docs/scale.md: the table, the exponent by which each stage's CPU time
grows, what misses its target, and a plan for 100 million functions on a cluster. A stage that fails or is given up is
named on the page, and so are those that need it.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plan import Assumptions, add_assumptions, assumptions_of, exponent, plan_text

from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json
from sigjepa.store.git_state import code_state

STAGES = {
    "corpus": "corpus: extraction, near duplicates, split, store",
    "shards": "vectors (made up), stored",
    "mining": "mining",
    "index": "scores (made up), index of hard negatives",
    "training": "one epoch of training",
    "validation": "validation",
}
QUADRATIC = ("validation",)
"""Stages that compare all with all, whose pool is 1 % of the functions here."""
MAX_EXPONENT = 1.1
MAX_GIB = 4.0
MILLION = 1_000_000
Figures = dict[str, dict[int, dict[str, Any]]]


def run_stage(stage: str, functions: int, folder: Path, packages: Sequence[str] | None, limit: float) -> dict[str, Any]:
    """Return the figures of a stage in a process of its own, or why there are none."""
    here = Path(__file__).resolve().parent
    waiting = {"OMP_WAIT_POLICY": "passive"}  # or threads that wait for a core that others use count as work
    paths = [str(here.parents[1]), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**waiting, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, str(here / "stages.py"), stage, "--functions", str(functions), "--folder", str(folder)]
    if packages is not None:
        command += ["--packages", *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"problem": f"given up after {limit:,.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        return {"problem": lines[-1].replace(str(folder), "…")}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(
    sizes: Sequence[int], folder: Path, packages: Sequence[str] | None, seconds: float
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield stage, size and figures as they come; at one size, nothing is asked of what has failed."""
    ends = time.monotonic() + seconds
    for functions in sizes:
        for stage in STAGES:
            figures = run_stage(stage, functions, folder, packages, max(1.0, ends - time.monotonic()))
            yield stage, functions, figures
            if "problem" in figures:
                break
        shutil.rmtree(folder / f"{functions}", ignore_errors=True)


def summary(figures: Mapping[str, Any]) -> str:
    """Return the figures of a stage in a line."""
    if "problem" in figures:
        return str(figures["problem"])
    parts = ("seconds", "cpu_seconds", "peak_mib", "disk_mib")
    return ", ".join(f"{name} {figures[name]:,.1f}" for name in parts)


def measured(figures: Mapping[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return the sizes at which a stage came to its end."""
    return {size: each for size, each in sorted(figures.items()) if "problem" not in each}


def stage_rows(found: Figures) -> list[list[str]]:
    """Return a row for each stage: of each size the seconds, CPU seconds, MiB and MiB on disk, and the exponent."""
    sizes = sorted({size for figures in found.values() for size in figures})
    rows = []
    for stage, title in STAGES.items():
        whole = measured(found[stage])
        cells = []
        for size in sizes:
            each = whole.get(size)
            cells.append(
                "not measured"
                if each is None
                else f"{each['seconds']:,.1f} s, {each['cpu_seconds']:,.1f} s CPU, {each['peak_mib']:,.0f} MiB, "
                f"{each['disk_mib']:,.0f} MiB"
            )
        rows.append([title, *cells, f"{power(whole):.2f}"])
    return rows


def power(whole: Mapping[int, Mapping[str, Any]]) -> float:
    """Return the exponent by which a stage's CPU time grows."""
    return exponent([each["functions"] for each in whole.values()], [each["cpu_seconds"] for each in whole.values()])


def misses(found: Figures) -> list[str]:
    """Return a line for each target that was missed, and for each stage that did not come to its end."""
    largest = max((size for figures in found.values() for size in measured(figures)), default=0)
    lines = [] if largest >= MILLION else [f"A million functions: not measured, the largest size is {largest:,}."]
    for stage, title in STAGES.items():
        for size, figures in sorted(found[stage].items()):
            if "problem" in figures:
                lines.append(f"{title}, {size:,} functions: {figures['problem']}.")
        whole = measured(found[stage])
        if stage not in QUADRATIC and len(whole) > 1 and power(whole) > MAX_EXPONENT:
            lines.append(f"{title}: CPU time grows with the power {power(whole):.2f}, the target is {MAX_EXPONENT}.")
        lines += [
            f"{title}, {size:,} functions: {figures['peak_mib'] / 1024:.1f} GiB a process, the target is {MAX_GIB:g}."
            for size, figures in whole.items()
            if figures["peak_mib"] > MAX_GIB * 1024
        ]
    return lines


def page(record: Mapping[str, Any], assumed: Assumptions) -> str:
    """Return docs/scale.md."""
    found = {stage: {int(size): each for size, each in record["stages"].get(stage, {}).items()} for stage in STAGES}
    sizes = sorted({size for figures in found.values() for size in figures})
    corpora = measured(found["corpus"])
    mining = measured(found["mining"])
    dropped = [f"{size:,}: {counts_of(each)}" for size, each in corpora.items()]
    searches = [f"{size:,}: {search_of(each)}" for size, each in mining.items()]
    complete = {stage: whole for stage, figures in found.items() if (whole := measured(figures))}
    missed = misses(found)
    return "\n".join(
        [
            "# Scale",
            "",
            "The chain on one machine at growing sizes, and a plan for a cluster. `make scale` measures and writes "
            "this page; `benchmarks/results/scale.json` holds the figures. A target missed stands as missed.",
            "",
            "**The functions are made up**: those of the interpreter and its installed packages, their names replaced, "
            "each copy of a package with names of its own, so few that two names often become one; a mere renaming "
            "would be dropped as a duplicate. **Embeddings and scores are made up, too**: 384 numbers a half in "
            "families around topics, one state a signature (pooled-only input), scores by hash. All other work is that "
            "of `sigjepa prepare` and `sigjepa train`. The student is small (one layer of 128), so that an epoch "
            "measures how batches are read. Val and test are 1 % each.",
            "",
            f"{record['cores']} core{'s' * (record['cores'] != 1)}, {record['machine']}, commit {record['commit']}, "
            f"load {record['load']:.1f} when it began. Each stage is a process of its own, and the corpus of many "
            "files one for each core; the clock begins after the first one's imports, about 0.5 GiB of the memory is "
            "theirs. Memory is the peak of the largest process, mapped files included; CPU time is of all "
            "its processes. Disk is what the stage added.",
            "",
            markdown_table(["stage", *(f"{size:,}" for size in sizes), "exponent"], stage_rows(found)),
            "",
            f"Targets: CPU time grows with a power of at most {MAX_EXPONENT} (all but the comparison of a whole pool, "
            f"validation), and no process has more than {MAX_GIB:g} GiB.",
            "",
            *([f"- Missed: {line}" for line in missed] or ["All are met."]),
            "",
            "What became of the source's functions, by size: " + "; ".join(dropped) + ".",
            "",
            "How neighbors were searched: " + "; ".join(searches) + ".",
            "",
            f"## A plan for {assumed.functions:,} functions",
            "",
            "Computed from the table, on no cluster: a stage's CPU time and files at the largest size, times the "
            "growth to the power of its exponent, at least 1. Stages on cores are corpus, mining and index; teacher "
            "and student are on GPUs. Judges are not in it: what a model that is asked costs is its provider's price.",
            "",
            plan_text(complete, assumed),
            "",
            *(
                []
                if sizes and sizes[-1] >= MILLION
                else ["**No plan to spend by**: it goes beyond the sizes that were measured by far too much.", ""]
            ),
            "Another plan: `python benchmarks/scale/scale.py --page-only --cores 1024`.",
            "",
        ]
    )


def counts_of(figures: Mapping[str, Any]) -> str:
    """Return how many functions were extracted, dropped as duplicates, and kept."""
    skipped = figures["skipped"]
    duplicates = sum(count for reason, count in skipped.items() if reason.endswith("duplicate"))
    extracted = figures["counts"]["functions_extracted"]
    return f"{extracted:,} extracted, {duplicates:,} of them duplicates, {figures['functions']:,} kept"


def search_of(figures: Mapping[str, Any]) -> str:
    """Return how neighbors were searched, with the recall."""
    search = figures["search"]
    return f"{search['method']}, recall {search['recall']:.3f}, {figures['pairs']:,} pairs"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, MILLION])
    parser.add_argument("--packages", nargs="*", help="of which functions are made (default: all that are installed)")
    parser.add_argument("--seconds", type=float, default=2400, help="after so long the rest is given up (default 2400)")
    parser.add_argument("--work", type=Path, help="folder for the artifacts, removed size by size (default: temporary)")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/scale.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/scale.md"))
    parser.add_argument("--page-only", action="store_true", help="measure nothing: write the page from the results")
    add_assumptions(parser.add_argument_group("assumptions of the plan"))
    options = parser.parse_args(words)
    if options.page_only:
        write_page(json.loads(options.results.read_text(encoding="utf-8")), options)
        return
    about = {"cores": len(os.sched_getaffinity(0)), "machine": platform.machine(), "load": os.getloadavg()[0]}
    record: dict[str, Any] = {"commit": str(code_state()["sha"])[:7], **about, "stages": {}}
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for stage, size, figures in measure(options.sizes, Path(folder), options.packages, options.seconds):
            print(f"{size:>9,} {stage}: {summary(figures)}", flush=True)
            record["stages"].setdefault(stage, {})[str(size)] = figures
            write_json(options.results, record)  # so that an interrupted measurement leaves what it has
            write_page(record, options)


def write_page(record: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Write the page of a record."""
    options.page.write_text(page(record, assumptions_of(options)), encoding="utf-8")


if __name__ == "__main__":
    main()
