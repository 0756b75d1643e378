"""Real runs on 2 and 4 gloo processes beside the same run on one; and what a dead process does to the others.

    python benchmarks/reliability/distribution.py --seconds 270

All runs see the same global batches of `data=tiny`, without dropout; its last batches, and the shares of the val split,
are uneven. Compared are the weights, every figure of the epochs, and the rank of every function. Once after two epochs
of AdamW in float64; and once after one step in float32 with plain SGD at a rate of 1 and no clipping, whose weights
differ by exactly as much as the gradients. AdamW in float32 is no measure of equality: where a gradient is as small as
its own rounding, the step is as large as any other.
"""

import csv
import itertools
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import options, write_record

BOUND = 1e-6
BATCH = 64
LIMIT = 300.0
COMPARED = {
    "InfoNCE, in batch": ("experiment=exp1_4",),
    "InfoNCE, union": ("experiment=exp2_1", "negatives.tiers=null"),
    "InfoNCE, per anchor": ("experiment=hardneg_per_anchor", "negatives.tiers=null"),
    "InfoNCE and token SmoothL1": ("experiment=exp2_2",),
}
SETTINGS = {
    "two epochs, float64": ("trainer.max_epochs=2", "trainer.precision=64-true"),
    "one step, float32": (
        "+trainer.limit_train_batches=1",
        "trainer.max_epochs=1",
        "trainer.gradient_clip_val=null",
        "optimizer._target_=torch.optim.SGD",
        "optimizer.lr=1",
        "scheduler=none",
    ),
}
ALWAYS = ("data=tiny", "model.dropout=0", "logger=none", "baseline=[random]", "hydra.run.dir=run", "resume=never")


def start(folder: Path, data: Path, processes: int, *words: str) -> subprocess.Popen[bytes]:
    """A run of so many processes on global batches of 64, in a process group of its own."""
    folder.mkdir(parents=True)
    trainer = ("trainer=ddp_cpu", f"trainer.devices={processes}") if processes > 1 else ("trainer.accelerator=cpu",)
    environment = {**os.environ, "SIGJEPA_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "sigjepa.train",
        *ALWAYS,
        *trainer,
        f"data.batch_size={BATCH // processes}",
        *words,
    ]
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def figures(run: Path) -> dict[str, float]:
    """Every figure of every epoch."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return {f"{row['epoch']}:{name}": float(value) for row in csv.DictReader(stream) for name, value in row.items()}


def ranks(run: Path) -> dict[str, np.ndarray]:
    """The rank of every function of val and test."""
    with np.load(run / "ranks.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def largest_differences(run: Path, single: Path) -> tuple[float, float, str, int]:
    """Largest difference of a weight; of a figure, relative to it from 1 on, and its name; ranks that differ."""
    ours, theirs = (
        torch.load(one / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]
        for one in (run, single)
    )
    weights = max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)
    have, want = figures(run), figures(single)
    by_figure = {name: abs(have.get(name, math.nan) - want[name]) / max(1.0, abs(want[name])) for name in want}
    worst = max(by_figure, key=lambda name: math.inf if math.isnan(by_figure[name]) else by_figure[name])
    other, one = ranks(run), ranks(single)
    moved = sum(int((other[name] != one[name]).sum()) for name in one)
    return weights, by_figure[worst], worst.partition(":")[2], moved


def dead_process(folder: Path, data: Path, victim: str) -> tuple[float, int | None]:
    """Kill one of two processes while they train: seconds until the job had ended, and its exit status."""
    process = start(folder, data, 2, "experiment=exp1_4", "trainer.max_epochs=500")
    checkpoint = folder / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + LIMIT
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    others = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    further = [int(one) for one in others.stdout.split()]
    if process.poll() is not None or not further:
        sys.exit((folder / "output.txt").read_text(errors="replace"))
    began = time.monotonic()
    os.kill(process.pid if victim == "first" else further[0], signal.SIGKILL)
    while time.monotonic() - began < LIMIT / 2:
        living = process.poll() is None or any(Path(f"/proc/{one}").exists() for one in further)
        if not living:
            return time.monotonic() - began, process.returncode
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    return math.inf, None


def main() -> None:
    """Measure, and write the record."""
    arguments = options("distribution", __doc__, seconds=270).parse_args()
    started = time.perf_counter()
    rows, lost, notes = [], 0, []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = root / "data"
        for victim in ("first", "second"):
            if victim == "first":  # builds the cache
                start(root / "cold", data, 1, "experiment=exp1_4", "trainer.max_epochs=1").wait(LIMIT)
            seconds, status = dead_process(root / f"dead_{victim}", data, victim)
            survived = seconds < LIMIT / 2 and status != 0
            lost += not survived
            rows.append(
                [f"{victim} process killed", "2", f"ended after {seconds:.0f} s, status {status}", "-", "-", "-"]
            )
        for (setting, further), (title, words) in itertools.product(SETTINGS.items(), COMPARED.items()):
            runs = {}
            for processes in (1, 2, 4):
                if time.perf_counter() - started > arguments.seconds:
                    notes.append(f"{title}, {setting}, {processes} processes: no time was left.")
                    continue
                runs[processes] = root / f"{len(rows)}_{processes}"
                if start(runs[processes], data, processes, *words, *further).wait(LIMIT):
                    lost += 1
                    rows.append([f"{title}, {setting}", str(processes), "failed", "-", "-", "-"])
                    notes.append((runs.pop(processes) / "output.txt").read_text(errors="replace")[-300:])
                    if processes == 1:
                        break
                elif processes > 1:
                    weights, figure, worst, moved = largest_differences(runs[processes] / "run", runs[1] / "run")
                    equal = max(weights, figure) <= BOUND and not moved
                    lost += not equal
                    shown = [f"{weights:.1e}", f"{figure:.1e} ({worst})" if figure else "0", str(moved)]
                    rows.append([f"{title}, {setting}", str(processes), "equal" if equal else "differs", *shown])
    write_record(
        arguments.output,
        "Distribution: processes beside one process on the same global batches",
        ["run", "processes", "outcome", "largest difference of a weight", "of a figure", "ranks that differ"],
        rows,
        lost=lost,
        started=started,
        notes=[
            f"Equal means no difference above {BOUND:g} and every function at its rank. One step with SGD at a rate of "
            "1 moves each weight by its gradient.",
            *notes,
        ],
    )


if __name__ == "__main__":
    main()
