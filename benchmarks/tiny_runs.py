"""Runs of a minute that other benchmarks measure or use: `data=tiny`, one epoch, from artifacts that are there."""

import subprocess
import sys
from pathlib import Path

from child_processes import ENVIRONMENT

WORDS = [
    "data=tiny",
    "trainer.max_epochs=1",
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
]


def command(name: str, *words: str) -> str:
    """Run a command of sigjepa and return what it printed; ends the benchmark with what it said where it fails."""
    call = [sys.executable, "-m", f"sigjepa.{name}", *words]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        sys.exit(f"sigjepa {name} {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def train(folder: Path, *words: str, seeds: int = 1) -> None:
    """Train runs of so many seeds into a folder: one itself, several in folders below it."""
    if seeds == 1:
        command("train", *WORDS, f"hydra.run.dir={folder}", *words)
    else:
        drawn = ",".join(map(str, range(seeds)))
        command("train", "-m", *WORDS, f"seed={drawn}", f"hydra.sweep.dir={folder}", *words)
