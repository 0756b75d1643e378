"""How long `sigjepa.report` takes, as a whole process, against its limit.

    python benchmarks/report_building.py                                   # 12 runs of data=tiny, which it trains
    python benchmarks/report_building.py --runs multirun/<sweep> --repeats 5

The limit is 10 s for 12 runs, imports, tests, ceilings, figures and the error explorer included.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from child_processes import ENVIRONMENT
from tiny_runs import train

from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json

LIMIT_SECONDS = 10.0


def build(runs: Path, output: str) -> tuple[float, int]:
    """Seconds of one `python -m sigjepa.report`, and of how many finished runs."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "sigjepa.report", f"runs={runs}", f"output={output}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    found = re.search(r"^(\d+) of \d+ runs finished", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return seconds, int(found[1])


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of runs (default: those that it trains)")
    parser.add_argument("--seeds", type=int, default=12, help="runs that it trains (default: 12)")
    parser.add_argument("--repeats", type=int, default=3, help="counted processes, after one warm-up (default 3)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/report_building.json"))
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        if options.runs is None:
            train(Path(folder) / "runs", seeds=options.seeds)
        runs = options.runs or Path(folder) / "runs"
        measured = [build(runs, f"{folder}/report") for _ in range(options.repeats + 1)][1:]
    seconds = [one for one, _ in measured]
    result = {
        "runs": measured[0][1],
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "share_of_limit": statistics.median(seconds) / LIMIT_SECONDS,
        "load_average": os.getloadavg()[0],
    }
    write_json(options.output, result)
    row = [str(result["runs"]), f"{result['median_seconds']:.1f}", f"{min(seconds):.1f} to {max(seconds):.1f}"]
    print(
        markdown_table(["runs", "median s", "range", "share of the limit"], [[*row, f"{result['share_of_limit']:.2f}"]])
    )


if __name__ == "__main__":
    main()
