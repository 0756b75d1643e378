"""Every reliability measurement, one after the other within a time limit, and the page that shows their records.

    python benchmarks/reliability/torture.py                  # 30 minutes on 2 cores, writes docs/reliability.md
    python benchmarks/reliability/torture.py --only fuzzing   # one of them; the page keeps the other records

A measurement that fails is named on the page, and so is every case that was not survived; either makes this fail.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from record import RESULTS

from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import atomic_path
from sigjepa.store.git_state import code_state
from sigjepa.store.progress import progress

HERE = Path(__file__).resolve().parent
SHARES = {"interruption": 0.30, "sweeps": 0.14, "corruption": 0.12, "distribution": 0.30, "fuzzing": 0.14}
"""Measurements, each a file beside this one, and what share of the time each may take."""
BAR = re.compile(r"\[\d+:\d\d[<,]")
"""What every bar of tqdm has: the time it took, with the time that is left or its rate."""
MAX_SHOWN_ERROR = 4000
"""The most characters of a failed measurement's standard error that are shown; the page has one line of it."""
HEAD = """# Reliability

What was done to sigjepa and what came of it. `make torture` measures all of this and writes this page; nothing here was
written by hand. A case that was not survived stays in its table and is counted as lost."""


def error_of(printed: str) -> str:
    """Return the last line of a standard error that is no progress bar."""
    lines = [line.strip() for line in printed.splitlines()]  # a bar redraws itself by "\r", which ends a line here
    return next((line for line in reversed(lines) if line and not BAR.search(line)), "no message")


def measure(name: str, seconds: float, seed: int) -> str:
    """Run one measurement; the reason when it fails, or an empty text."""
    record = RESULTS / f"{name}.json"
    record.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), "--seconds", f"{seconds:.0f}", "--seed", str(seed)]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode or not record.exists():
        print(done.stderr[-MAX_SHOWN_ERROR:], file=sys.stderr)
        return f"`{name}` ended with {done.returncode}: {error_of(done.stderr)}"
    return ""


def page(records: Sequence[dict[str, Any]], failures: Sequence[str]) -> str:
    """The page as Markdown."""
    git = code_state()
    code = f"commit `{git['sha'][:12]}`{' with changes that are not committed' if git['dirty'] else ''}"
    minutes = sum(record["seconds"] for record in records) / 60
    parts = [
        HEAD,
        f"{date.today().isoformat()}, {code}, {os.cpu_count()} cores, {minutes:.0f} minutes in all. "
        f"Lost: {sum(record['lost'] for record in records)}.",
    ]
    for record in records:
        parts.append(f"## {record['title']}\n\n{markdown_table(record['columns'], record['rows'])}")
        parts += record["notes"]
        parts.append(f"Lost: {record['lost']}. {record['seconds']:.0f} s.")
    if failures:
        parts.append("## Not measured\n\n" + "\n".join(f"- {failure}" for failure in failures))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=28.0, help="for all together (default 28)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SHARES, nargs="+", default=list(SHARES))
    parser.add_argument("--output", type=Path, default=Path("docs/reliability.md"))
    arguments = parser.parse_args()
    started = time.perf_counter()
    reasons = [
        measure(name, 60 * arguments.minutes * SHARES[name], arguments.seed)
        for name in progress(arguments.only, "torture", total=len(arguments.only), unit="measurement")
    ]
    failures = [reason for reason in reasons if reason]
    kept = [RESULTS / f"{name}.json" for name in SHARES]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in kept if path.exists()]
    with atomic_path(arguments.output) as temporary:
        temporary.write_text(page(records, failures), encoding="utf-8")
    lost = sum(record["lost"] for record in records)
    print(f"\n{arguments.output}: {lost} lost, {len(failures)} not measured, {time.perf_counter() - started:.0f} s")
    sys.exit(bool(lost or failures))


if __name__ == "__main__":
    main()
