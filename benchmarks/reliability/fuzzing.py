"""Throw mutated files at everything that reads foreign ones: what crashes, hangs or eats memory?

    python benchmarks/reliability/fuzzing.py --seconds 480

Each parser of `tests/fuzz/foreign_parsers.py` runs under atheris, coverage-guided, in a process of its own, one a core,
with a limit of 10 s an input and 2 GiB in all; where atheris is missing, hypothesis draws the inputs. An input counts
as survived when it is read or refused with the documented exception.
"""

import argparse
import base64
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from record import options, write_record

FUZZ = Path(__file__).resolve().parents[2] / "tests" / "fuzz"
INPUT_SECONDS, MEMORY_MIB, LONGEST_INPUT = 10, 2048, 4096
WATCHED = ("corpus", "negatives", "reporting", "artifacts")
"""Where coverage guides the search."""
STARTING_SECONDS = 10.0
"""What a process needs before its first input: imports, instrumented."""
HANG_CODES, MEMORY_CODES = (70,), (71, -9)  # libFuzzer's exit statuses for -timeout and -rss_limit_mb


class Survivor:
    """Calls a parser and keeps the first input of each kind of crash, so that the search goes on after one."""

    def __init__(self, read: Callable[[bytes], object], crashes: Path) -> None:
        self.read = read
        self.crashes = crashes
        self.found: dict[str, dict[str, str]] = {}
        self.inputs = 0

    def __call__(self, content: bytes) -> None:
        """Read one input."""
        self.inputs += 1
        try:
            self.read(content)
        except Exception as error:  # noqa: BLE001 - whatever gets out of a parser is what is looked for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            if kind not in self.found:
                self.found[kind] = {"error": str(error)[:200], "input": base64.b64encode(content).decode()}
                self.crashes.write_text(json.dumps(self.found))


def parsers() -> Any:
    sys.path.insert(0, str(FUZZ))
    from foreign_parsers import PARSERS  # noqa: PLC0415 - only once atheris watches the imports

    return {parser.name: parser for parser in PARSERS}


def fuzz_one(name: str, folder: Path, seconds: float, seed: int) -> None:
    """Fuzz one parser in this process; it ends the process."""
    if importlib.util.find_spec("atheris") is None:
        fuzz_by_hypothesis(name, folder, seconds, seed)
        return
    import atheris  # noqa: PLC0415 - Linux alone has it

    with atheris.instrument_imports(include=[f"sigjepa.{room}" for room in WATCHED]):
        parser = parsers()[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for position, content in enumerate(parser.seeds):
        (corpus / str(position)).write_bytes(content)
    flags = {
        **{"max_total_time": int(seconds), "timeout": INPUT_SECONDS, "rss_limit_mb": MEMORY_MIB},
        **{"max_len": LONGEST_INPUT, "seed": seed + 1, "print_final_stats": 1, "verbosity": 1},
    }
    atheris.Setup(
        [
            sys.argv[0],
            *(f"-{flag}={value}" for flag, value in flags.items()),
            f"-artifact_prefix={folder}/",
            str(corpus),
        ],
        Survivor(parser.read, folder / "crashes.json"),
    )
    atheris.Fuzz()


def fuzz_by_hypothesis(name: str, folder: Path, seconds: float, seed: int) -> None:
    """The same without coverage: what hypothesis draws until the time is over."""
    import hypothesis  # noqa: PLC0415
    from hypothesis import strategies  # noqa: PLC0415

    parser = parsers()[name]
    survivor = Survivor(parser.read, folder / "crashes.json")
    drawn = strategies.tuples(
        strategies.sampled_from(parser.seeds), strategies.binary(max_size=64), strategies.integers(0, LONGEST_INPUT)
    )

    @hypothesis.settings(max_examples=1000, deadline=None, database=None)
    @hypothesis.given(drawn)
    def run(parts: tuple[bytes, bytes, int]) -> None:
        content, put_in, place = parts
        survivor(content[: place % (len(content) + 1)] + put_in + content[place % (len(content) + 1) :])

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hypothesis.seed(seed + survivor.inputs)(run)()
    print(f"stat::number_of_executed_units: {survivor.inputs}", file=sys.stderr)


def fuzz_in_process(name: str, seconds: float, seed: int) -> tuple[int, dict[str, dict[str, str]], int, int]:
    """Inputs, crashes by kind, hangs and memory blow-ups of one parser; it goes on after a hang while time is left."""
    inputs, hangs, blow_ups = 0, 0, 0
    crashes: dict[str, dict[str, str]] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(prefix="fuzzing-") as folder:
            command = [sys.executable, __file__, "--seconds", str(left), "--seed", str(seed), "--parser", name]
            done = subprocess.run([*command, "--folder", folder], capture_output=True, check=False)
            errors = done.stderr.decode(errors="replace")
            executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)\t", errors, re.MULTILINE)
            inputs += max((int(total or progress) for total, progress in executed), default=0)
            found = Path(folder, "crashes.json")
            crashes |= json.loads(found.read_text()) if found.exists() else {}
        hangs += done.returncode in HANG_CODES
        blow_ups += done.returncode in MEMORY_CODES
        if done.returncode == 0:
            break
        if not executed:
            raise RuntimeError(f"fuzzing '{name}' did not start: {errors[-2000:]}")
        if done.returncode not in (*HANG_CODES, *MEMORY_CODES):
            crashes[f"exit status {done.returncode}"] = {"error": errors[-500:], "input": ""}
        seed += 1
    return inputs, crashes, hangs, blow_ups


def measure(arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    rows, totals, notes = [], [0, 0, 0, 0], []
    names = list(parsers())
    side_by_side = min(os.cpu_count() or 1, len(names))
    turns = math.ceil(len(names) / side_by_side)
    share = max(arguments.seconds / turns - STARTING_SECONDS, 2.0)
    with ThreadPoolExecutor(side_by_side) as pool:
        found = pool.map(lambda name: fuzz_in_process(name, share, arguments.seed), names)
        for name, (inputs, crashes, hangs, blow_ups) in zip(names, found, strict=True):
            counts = (inputs, len(crashes), hangs, blow_ups)
            totals = [total + one for total, one in zip(totals, counts, strict=True)]
            rows.append([name, *(f"{one:,}" for one in counts)])
            notes += [
                f"{name}: {kind}: {one['error']} (input in base64: {one['input']})" for kind, one in crashes.items()
            ]
            print(*rows[-1], *notes[len(notes) - len(crashes) :], file=sys.stderr, flush=True)
    rows.append(["all", *(f"{one:,}" for one in totals)])
    write_record(
        arguments.output,
        "Mutated files thrown at what reads foreign ones",
        ["parser", "inputs", "kinds of crashes", "hangs", "memory blow-ups"],
        rows,
        lost=sum(totals[1:]),
        started=started,
        notes=notes,
    )
    return int(sum(totals[1:]) > 0)


def main() -> int:
    parser = options("fuzzing", __doc__, 480)
    parser.add_argument("--parser", help="fuzz this one alone, in this process")
    parser.add_argument("--folder", type=Path, help="where that process leaves what it found")
    arguments = parser.parse_args()
    if arguments.parser:
        fuzz_one(arguments.parser, arguments.folder, arguments.seconds, arguments.seed)
        return 0
    return measure(arguments)


if __name__ == "__main__":
    sys.exit(main())
