"""Real runs killed with SIGKILL at random moments and started again with the same words, against one left alone.

    python benchmarks/reliability/interruption.py --seconds 400

Each run prepares (some on a cold cache), trains, validates, writes checkpoints and tests `data=tiny`, and is killed
once at a random moment of each of these, one run a core. What must be the same, byte for byte: metrics.csv,
the weights of the best and the last checkpoint, ranks, and every figure of summary.json but the time.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import options, write_record

EPOCHS = 4
WORDS = (
    *("experiment=hardneg_curriculum", "data=tiny", "negatives.tiers=null", f"trainer.max_epochs={EPOCHS}"),
    *("loss.infonce.schedule.start_epoch=1", "loss.infonce.schedule.ramp_epochs=1"),
    *("logger=none", "callbacks.resume_checkpoint.every_n_steps=2", "resume=auto", "hydra.run.dir=run"),
)
STAGES = {"preparing": 8.0, "training or validating": 1.5, "checkpointing": 0.004, "testing": 0.4, "ended": 0.0}
"""Where a kill may hit, and how many seconds into it at most; a run that has ended already is not killed."""
EVERY = 0.001
COLD_EVERY = 4
"""Of so many runs one begins without a cache."""
LIMIT = 600.0


def start(folder: Path, data: Path) -> subprocess.Popen[bytes]:
    """The same command every time, in a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"SIGJEPA_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sigjepa.train", *WORDS],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def content(file: Path) -> str:
    """The text of a file, empty for none: a run that starts again takes its files away at any moment."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def stage(run: Path) -> str:
    """What the run was at, as its folder tells."""
    summary = content(run / "summary.json")
    if summary and json.loads(summary)["status"] == "finished":
        return "ended"
    if not (run / "provenance.json").exists():
        return "preparing"
    if list((run / "checkpoints").glob(".*.tmp")):
        return "checkpointing"
    rows = len(content(run / "metrics.csv").splitlines()) - 1
    return "testing" if rows == EPOCHS else "training or validating"


def kill_during(wanted: str, process: subprocess.Popen[bytes], run: Path, moments: random.Random) -> bool:
    """Kill the process's group at a random moment of a stage; False when it ended before."""
    delay, reached = moments.uniform(0.0, STAGES[wanted]), None
    while process.poll() is None:
        if reached is None and stage(run) == wanted:
            reached = time.perf_counter()
        if reached is not None and time.perf_counter() - reached >= delay:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(EVERY)
    return False


def interrupted(folder: Path, data: Path, expected: dict[str, Any], moments: random.Random) -> tuple[Counter[str], str]:
    """One run, killed once in each stage and then left alone: what the kills hit, and what differs in the end."""
    kills: Counter[str] = Counter()
    for wanted in (*list(STAGES)[:-1], None):
        process = start(folder, data)
        if wanted is not None and kill_during(wanted, process, folder / "run", moments):
            kills[stage(folder / "run")] += 1
        elif process.wait(LIMIT):
            return (
                kills,
                f"ended with {process.returncode}: {(folder / 'output.txt').read_text(errors='replace')[-300:]}",
            )
    differing = differences(folder / "run", expected)
    shutil.rmtree(folder)
    return kills, f"differs in {', '.join(differing)}" if differing else ""


def outcome(run: Path) -> dict[str, Any]:
    """What an interruption must not change."""
    summary = json.loads((run / "summary.json").read_text())
    del summary["wall_seconds"]
    outcome: dict[str, Any] = {"summary": summary, "metrics.csv": (run / "metrics.csv").read_bytes()}
    for name in ("best", "last"):
        state = torch.load(run / "checkpoints" / f"{name}.ckpt", map_location="cpu", weights_only=True)["state_dict"]
        outcome[f"{name}.ckpt"] = {key: value.numpy().tobytes() for key, value in state.items()}
    with np.load(run / "ranks.npz", allow_pickle=False) as ranks:
        outcome["ranks.npz"] = {key: ranks[key].tobytes() for key in ranks.files}
    return outcome


def differences(run: Path, expected: dict[str, Any]) -> list[str]:
    """Which parts of the outcome differ."""
    try:
        found = outcome(run)
    except (OSError, KeyError, ValueError) as error:
        return [f"no outcome ({type(error).__name__}: {error})"]
    return [name for name in expected if found[name] != expected[name]]


def main() -> None:
    """Measure, and write the record."""
    arguments = options("interruption", __doc__, seconds=400).parse_args()
    started = time.perf_counter()
    kills: Counter[str] = Counter()
    faults: list[str] = []
    runs = itertools.count(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("undisturbed", "again"):
            if start(root / folder, root / "data").wait(LIMIT):
                sys.exit((root / folder / "output.txt").read_text())
        expected = outcome(root / "undisturbed" / "run")
        if differing := differences(root / "again" / "run", expected):
            sys.exit(f"two runs that nothing disturbed differ in {', '.join(differing)}: nothing can be measured")

        def work(lane: int) -> int:
            moments, done = random.Random(f"{arguments.seed} {lane}"), 0
            while time.perf_counter() - started < arguments.seconds:
                run = next(runs)
                data = root / (f"data_{run}" if run % COLD_EVERY == 1 else "data")
                found, fault = interrupted(root / f"run_{run}", data, expected, moments)
                kills.update(found)
                faults.extend([f"Run {run} {fault}"] if fault else [])
                done += 1
            return done

        lanes = os.cpu_count() or 1
        with ThreadPoolExecutor(lanes) as pool:
            total = sum(pool.map(work, range(lanes)))
    rows = [[f"SIGKILL while {one}", str(kills[one])] for one in STAGES if kills[one]]
    ended = f"{total - len(faults)} of {total} runs ended as the undisturbed one"
    write_record(
        arguments.output,
        "Interruption: runs killed and started again with the same words",
        ["moment of the kill", "kills"],
        [*rows, ["all", str(kills.total())], [ended, ""]],
        lost=len(faults),
        started=started,
        notes=faults or [f"Equal to the undisturbed run in {', '.join(expected)} (bytes; the summary but its time)."],
    )


if __name__ == "__main__":
    main()
