"""Real runs killed with SIGKILL at random moments and started again with the same words, against one left alone.

    python benchmarks/reliability/interruption.py --seconds 400

Each run prepares (some on a cold cache), trains, validates, writes checkpoints and tests `data=tiny`. What must be the
same, byte for byte or bit for bit: metrics.csv, the weights of the best and the last checkpoint, ranks, and every
figure of summary.json but the time.
"""

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
from collections.abc import Callable
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
STAGES = ("preparing", "training or validating", "checkpointing", "testing", "ended")
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


def stage(run: Path) -> str:
    """What the run was at, as its folder tells."""
    summary, table = run / "summary.json", run / "metrics.csv"
    if summary.exists() and json.loads(summary.read_text())["status"] == "finished":
        return "ended"
    if not (run / "provenance.json").exists():
        return "preparing"
    if list((run / "checkpoints").glob(".*.tmp")):
        return "checkpointing"
    rows = len(table.read_text().splitlines()) - 1 if table.exists() else 0
    return "testing" if rows == EPOCHS else "training or validating"


def kill_when(process: subprocess.Popen[bytes], due: Callable[[], bool], every: float) -> bool:
    """Kill the process's group once it is due; False when it ended before."""
    while process.poll() is None:
        if due():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(every)
    return False


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
    moments = random.Random(arguments.seed)
    kills: Counter[str] = Counter()
    signals: Counter[str] = Counter()
    faults: list[str] = []
    runs = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        began = time.perf_counter()
        undisturbed = start(root / "undisturbed", root / "data")
        if undisturbed.wait(LIMIT):
            sys.exit((root / "undisturbed" / "output.txt").read_text())
        cold = time.perf_counter() - began
        began = time.perf_counter()
        again = start(root / "again", root / "data")
        if again.wait(LIMIT):
            sys.exit((root / "again" / "output.txt").read_text())
        warm = time.perf_counter() - began
        expected = outcome(root / "undisturbed" / "run")
        if differing := differences(root / "again" / "run", expected):
            sys.exit(f"two runs that nothing disturbed differ in {', '.join(differing)}: nothing can be measured")
        while time.perf_counter() - started < arguments.seconds:
            runs += 1
            folder = root / f"run_{runs}"
            data, length = (root / f"data_{runs}", cold) if runs % 4 == 1 else (root / "data", warm)
            while True:
                process = start(folder, data)
                if moments.random() < 0.3:  # when a checkpoint is being written, else at any time

                    def due(checkpoints: Path = folder / "run" / "checkpoints") -> bool:
                        return bool(list(checkpoints.glob(".*.tmp"))) and moments.random() < 0.3

                    killed = kill_when(process, due, every=0.001)
                else:
                    moment = time.perf_counter() + moments.uniform(0.2, 1.0) * length
                    killed = kill_when(process, lambda moment=moment: time.perf_counter() >= moment, every=0.01)
                if not killed:
                    break
                kills[stage(folder / "run")] += 1
            if process.returncode:
                faults.append(f"run {runs} ended with {process.returncode}")
                shutil.copy(folder / "output.txt", Path(tempfile.gettempdir()) / "sigjepa_interruption_output.txt")
            elif differing := differences(folder / "run", expected):
                faults.append(f"run {runs} differs in {', '.join(differing)}")
            shutil.rmtree(folder)
    rows = [[f"SIGKILL while {one}", str(kills[one]), str(kills[one])] for one in STAGES if kills[one]]
    del signals
    write_record(
        arguments.output,
        "Interruption: runs killed and started again with the same words",
        ["moment of the kill", "kills", "resumed"],
        [*rows, ["all", str(kills.total()), f"{runs - len(faults)} of {runs} runs ended as the undisturbed one"]],
        lost=len(faults),
        started=started,
        notes=faults or [f"Equal to the undisturbed run in {', '.join(expected)} (bytes; the summary but its time)."],
    )


if __name__ == "__main__":
    main()
