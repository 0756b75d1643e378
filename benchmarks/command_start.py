"""CPU time of `--help` and of a misspelled word at every command, against the peer `python -c 'import hydra'`.

    python benchmarks/command_start.py
    python benchmarks/command_start.py --repeats 15 --commands train report

Every repetition runs the peer and all cases in turn, so that a machine that is busy is busy for all of them; what is
told is the median over repetitions of the ratio to the peer of the same repetition. The limit is 2.
"""

import argparse
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from child_processes import cpu_seconds

from sigjepa.__main__ import COMMANDS
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json

LIMIT = 2.0
PEER = ["-c", "import hydra"]
WORDS = {"--help": "--help", "misspelled key": "trainer.max_epoch=3"}


def ratios(commands: Sequence[str], repeats: int) -> dict[tuple[str, str], float]:
    """Return the median ratio to the peer of every command and case."""
    measured: dict[tuple[str, str], list[float]] = {}
    cpu_seconds(["-m", f"sigjepa.{commands[0]}", "--help"])  # what is not compiled yet is, uncounted
    for _ in range(repeats):
        peer = cpu_seconds(PEER)
        for command in commands:
            for case, word in WORDS.items():
                seconds = cpu_seconds(["-m", f"sigjepa.{command}", word], check=False)
                measured.setdefault((command, case), []).append(seconds / peer)
    return {case: statistics.median(values) for case, values in measured.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/command_start.json"))
    options = parser.parse_args()
    measured = ratios(options.commands, options.repeats)
    rows = [[command, *(f"{measured[command, case]:.2f}" for case in WORDS)] for command in options.commands]
    record = {"limit": LIMIT, "repeats": options.repeats, "load_average": os.getloadavg()[0]}
    write_json(
        options.output, record | {"ratios": {f"{command} {case}": value for (command, case), value in measured.items()}}
    )
    print(markdown_table(["times `import hydra`", *WORDS], rows))
    worst = max(measured.values())
    print(f"\nthe most is {worst:.2f}; the limit is {LIMIT:g}: {'kept' if worst <= LIMIT else 'missed'}")


if __name__ == "__main__":
    main()
