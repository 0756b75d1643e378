"""Random faults in the files of a real prepared cache and a real finished run: is any read as something else?

    python benchmarks/reliability/corruption.py --seconds 240

A fault is survived when an error names the file, or when what is read is identical. The cache is that of `data=tiny`
with mined negatives; the run is trained on it, its student is what others are given. Every kind of file of the cache is
repaired once, too (a run's files are not rebuilt: the run is, by resume=never).
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from record import options, write_record

from sigjepa.errors import SigjepaError
from sigjepa.evaluate import finished_run
from sigjepa.pipeline import Pipeline, pipeline_of
from sigjepa.runtime.config_files import config_directory
from sigjepa.serving.student import Student
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.progress import progress
from sigjepa.training.checkpoint_io import read_checkpoint

WORDS = ("experiment=exp2_1", "data=tiny", "negatives.tiers=null", "logger=none")
RUN = {
    "best checkpoint": "checkpoints/best.ckpt",
    "last checkpoint": "checkpoints/last.ckpt",
    "metrics.csv": "metrics.csv",
    "summary.json": "summary.json",
    "provenance.json": "provenance.json",
    "baselines.json": "baselines.json",
    "ranks.npz": "ranks.npz",
    "predictions.npz": "predictions.npz",
}
STUDENT = {
    "student: config": "student/config.json",
    "student: weights": "student/model.safetensors",
    "student: checksums": "student/checksums.json",
}


def flip(path: Path, chance: random.Random) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(bytes(content))


def truncate(path: Path, chance: random.Random) -> None:
    """Cut the end off."""
    path.write_bytes(path.read_bytes()[: chance.randrange(1, path.stat().st_size)])


def empty(path: Path, chance: random.Random) -> None:
    """Leave nothing in it."""
    path.write_bytes(b"")


def delete(path: Path, chance: random.Random) -> None:
    """Remove it."""
    path.unlink()


COLUMNS = ("detected", "identical", "repaired", "lost")
FAULTS = {"flipped byte": flip, "truncated": truncate, "zero length": empty, "missing": delete}


def open_cache(data: Path) -> Pipeline:
    """The pipeline as another process would compose it."""
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return pipeline_of(hydra.compose("train", [*WORDS, f"paths.data_dir={data}", "paths.run_dir=none"]))


def cache_files(data: Path) -> dict[str, Path]:
    """Every artifact's manifest and one of its files, by what they are."""
    files = {}
    for path in sorted(data.glob(f"*/*/{MANIFEST_FILE}")):
        manifest = Manifest.read(path.parent)
        files[f"{manifest.kind}: manifest"] = path
        files |= {f"{manifest.kind}: {Path(name).suffix} file": path.parent / name for name in manifest.files}
    return files


def cache_content(data: Path) -> tuple[Any, ...]:
    """Everything that training reads of a cache."""
    artifacts = open_cache(data).get()
    negatives = artifacts.hard_negatives
    assert negatives is not None
    states = [artifacts.shards.signature_states(row).clone() for row in range(0, len(artifacts.shards), 10)]
    columns = [artifacts.corpus.column(name) for name in ("signature", "body", "split", "tier")]
    pooled = (artifacts.shards.body_pooled.clone(), artifacts.shards.signature_pooled.clone())
    return (columns, *pooled, *states, negatives.negatives.values, negatives.scores, negatives.cosims)


def run_content(run_dir: Path) -> tuple[Any, ...]:
    """Everything that is read of a run."""
    run = finished_run(run_dir)
    ids, ranks = run.ranks("test")
    checkpoints = [read_checkpoint(run_dir / "checkpoints" / f"{name}.ckpt") for name in ("best", "last")]
    weights = [value for one in checkpoints for value in one["state_dict"].values()]
    read = (run.summary, run.provenance, run.rows, run.baselines, [one["epoch"] for one in checkpoints])
    return (*read, ids, ranks.optimistic, *run.predictions("test"), *weights)


def student_content(folder: Path) -> tuple[Any, ...]:
    """Everything that a student predicts with."""
    student = Student.from_pretrained(folder)
    return (student.fingerprint, student.config, *student.model.state_dict().values())


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two contents are equal in every value."""
    return len(one) == len(other) and all(
        torch.equal(ours, theirs)
        if isinstance(ours, torch.Tensor)
        else np.array_equal(ours, theirs, equal_nan=True)
        if isinstance(ours, np.ndarray)
        else ours == theirs
        for ours, theirs in zip(one, other, strict=True)
    )


def outcome(read: Callable[[], tuple[Any, ...]], expected: tuple[Any, ...], path: Path) -> str:
    """`detected`, `identical`, or what else came of reading."""
    try:
        found = read()
    except SigjepaError as error:
        return "detected" if path.name in str(error) else f"an error that does not name it: {error}"
    except Exception as error:  # noqa: BLE001 - whatever else gets out is a case that was not survived
        return f"{type(error).__name__}: {error}"
    return "identical" if same(found, expected) else "another content was read"


def main() -> None:
    """Measure, and write the record."""
    arguments = options("corruption", __doc__, seconds=240).parse_args()
    started = time.perf_counter()
    chance = random.Random(arguments.seed)
    counts: dict[tuple[str, str], Counter[str]] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data, run_dir = root / "data", root / "run"
        command = [*WORDS, "trainer.max_epochs=2", f"hydra.run.dir={run_dir}", "baseline=[random]"]
        environment = {**os.environ, "SIGJEPA_DATA_DIR": str(data)}
        done = subprocess.run(
            [sys.executable, "-m", "sigjepa.train", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        places = {kind: (path, "cache") for kind, path in cache_files(data).items()}
        places |= {kind: (run_dir / file, "run") for kind, file in RUN.items()}
        places |= {kind: (run_dir / file, "student") for kind, file in STUDENT.items()}
        readers: dict[str, Callable[[], tuple[Any, ...]]] = {
            "cache": lambda: cache_content(data),
            "run": lambda: run_content(run_dir),
            "student": lambda: student_content(run_dir / "student"),
        }
        expected = {name: read() for name, read in readers.items()}
        repaired: set[str] = set()
        bar = progress(None, "faults", unit="fault")
        while time.perf_counter() - started < arguments.seconds:
            kind, fault = chance.choice(list(places)), chance.choice(list(FAULTS))
            path, place = places[kind]
            sound = path.read_bytes()
            FAULTS[fault](path, chance)
            result = outcome(readers[place], expected[place], path)
            tally = counts.setdefault((kind, fault), Counter())
            if result == "detected" and place == "cache" and kind not in repaired:
                repaired.add(kind)
                open_cache(data).repair()
                again = outcome(readers["cache"], expected["cache"], path)
                tally["repaired" if again == "identical" else "not repaired"] += 1
            path.write_bytes(sound)
            tally[result if result in ("detected", "identical") else "lost"] += 1
            if result not in ("detected", "identical"):
                notes.append(f"{kind}, {fault}: {result}"[:300])
            bar.update(1)
        bar.close()
    rows = [
        [
            kind,
            fault,
            str(tally.total() - tally["repaired"] - tally["not repaired"]),
            *(str(tally[one]) for one in COLUMNS),
        ]
        for (kind, fault), tally in sorted(counts.items())
    ]
    write_record(
        arguments.output,
        "Corruption: random faults in files of a cache, of a run and of its student",
        ["file", "fault", "injected", *COLUMNS],
        rows,
        lost=sum(tally["lost"] + tally["not repaired"] for tally in counts.values()),
        started=started,
        notes=notes,
    )


if __name__ == "__main__":
    main()
