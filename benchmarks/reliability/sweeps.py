"""Real sweeps of four jobs: killed and started again, with a job that fails, two at once, and two jobs at a time.

    python benchmarks/reliability/sweeps.py --seconds 240

Every job of `data=tiny` must end as that of a sweep that nothing disturbed: metrics.csv, weights, ranks and summary but
its time, byte for byte. On a cold cache two jobs at a time must build each artifact once.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from interruption import LIMIT, differences, outcome
from record import options, write_record

ALWAYS = (
    "-m",
    "experiment=exp2_1",
    "data=tiny",
    "negatives.tiers=null",
    "logger=none",
    "baseline=[random]",
    "seed=0,1",
)
RATES = "optimizer.lr=1e-3,5e-4"
EPOCHS = "trainer.max_epochs=2"
FOLDER = "hydra.sweep.dir=sweep"
BUILT = re.compile(r"\] Built (\S+)$", re.MULTILINE)
STATES = re.compile(r"\d+ jobs, [\w ,]+")


def start(folder: Path, data: Path, *words: str) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"SIGJEPA_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sigjepa.train", *ALWAYS, *words],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def jobs_of(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in order."""
    return sorted(path.parent for path in sweep.glob("*/summary.json"))


def said(folder: Path) -> str:
    """All that the sweeps in a folder have printed."""
    return (folder / "output.txt").read_text(errors="replace")


def wrong_jobs(sweep: Path, undisturbed: Path, suffix: str = "") -> list[str]:
    """What differs from the jobs of the undisturbed sweep whose names end in `suffix`, and which are missing."""
    wanted = {path.name: path for path in jobs_of(undisturbed) if path.name.endswith(suffix)}
    found = {path.name: path for path in jobs_of(sweep)}
    problems = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    for name in wanted.keys() & found.keys():
        if differing := differences(found[name], outcome(wanted[name])):
            problems.append(f"{name} differs in {', '.join(differing)}")
    return problems


def killed(
    folder: Path, data: Path, undisturbed: Path, seconds: float, moments: random.Random
) -> tuple[int, list[str]]:
    """A sweep killed at random moments until it ends by itself or `seconds` are over: kills, and what is wrong."""
    kills, end = 0, time.perf_counter() + seconds
    while True:
        process = start(folder, data, RATES, EPOCHS, FOLDER)
        try:
            process.wait(moments.uniform(6.0, 16.0) if time.perf_counter() < end else LIMIT)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    problems = wrong_jobs(folder / "sweep", undisturbed)
    return kills, problems + ([f"it ended with {process.returncode}"] if process.returncode else [])


def failing(folder: Path, data: Path, undisturbed: Path) -> list[str]:
    """A sweep one of whose two settings fails in two jobs, twice: what is wrong."""
    problems = []
    finished: Sequence[float] = []
    for attempt in ("first", "second"):
        status = start(folder, data, "optimizer.lr=1e-3,-1", EPOCHS, FOLDER).wait(LIMIT)
        if status == 0:
            problems.append(f"the {attempt} sweep ended with 0 although two jobs failed")
        changed = [path.stat().st_mtime for path in sorted((folder / "sweep").glob("*lr=0.001*/checkpoints/best.ckpt"))]
        if attempt == "second" and changed != finished:
            problems.append("finished jobs were trained again")
        finished = changed
    if len(finished) != 2:
        problems.append(f"{len(finished)} of 2 other jobs finished")
    sound = {path.name: path for path in jobs_of(undisturbed)}
    for job in (folder / "sweep").glob("*lr=0.001*"):
        if job.name not in sound or differences(job, outcome(sound[job.name])):
            problems.append(f"{job.name} differs")
    return problems


def main() -> None:
    """Measure, and write the record."""
    arguments = options("sweeps", __doc__, seconds=240).parse_args()
    started = time.perf_counter()
    rows: list[list[str]] = []
    notes: list[str] = []

    def row(title: str, cases: str, came_of_it: str, problems: list[str]) -> None:
        rows.append([title, cases, "; ".join(problems) or came_of_it])
        if problems:
            notes.append(f"Lost: {title}: {'; '.join(problems)}")

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = root / "data"
        if start(root / "undisturbed", data, RATES, EPOCHS, FOLDER).wait(LIMIT):
            sys.exit(said(root / "undisturbed"))
        undisturbed = root / "undisturbed" / "sweep"

        folder = root / "parallel"
        parallel = ("hydra/launcher=parallel",)
        status = start(folder, root / "cold", RATES, EPOCHS, FOLDER, *parallel).wait(LIMIT)
        problems = wrong_jobs(folder / "sweep", undisturbed) + ([f"it ended with {status}"] if status else [])
        logs = "".join(path.read_text(errors="replace") for path in (folder / "sweep").glob("*/*.log"))
        built = Counter(BUILT.findall(logs))
        if not built:
            problems.append("no job says that it built anything")
        problems += [f"{name} was built {times} times" for name, times in built.items() if times > 1]
        row("two jobs at a time on a cold cache (joblib)", "4 jobs", "equal; each artifact built once", problems)

        row(
            "jobs that fail",
            "2 of 4 jobs, twice",
            "others equal, skipped the second time; status 1",
            failing(root / "failing", data, undisturbed),
        )

        folder = root / "both"
        both = [start(folder, data, "optimizer.lr=1e-3", "trainer.max_epochs=1") for _ in range(2)]
        statuses = [process.wait(LIMIT) for process in both]
        sweeps = sorted((folder / "multirun").iterdir())
        problems = [f"one ended with {status}" for status in statuses if status]
        if len(sweeps) != 2 or any(len(jobs_of(sweep)) != 2 for sweep in sweeps):
            problems.append(f"{[len(jobs_of(sweep)) for sweep in sweeps]} jobs in {len(sweeps)} folders")
        row("two sweeps started at once, no folder named", "2", "a folder each, all jobs finished", problems)

        left = max(arguments.seconds - (time.perf_counter() - started) - 30, 30.0)
        kills, problems = killed(root / "killed", data, undisturbed, left, random.Random(arguments.seed))
        row("SIGKILL of a whole sweep, started again", f"{kills} kills", "4 of 4 jobs equal", problems)
        notes += [f"Said after the kills: {one}." for one in STATES.findall(said(root / "killed"))]
    write_record(
        arguments.output,
        "Sweeps: killed, failing, two at once, two jobs at a time",
        ["what", "cases", "outcome"],
        rows,
        lost=sum(note.startswith("Lost") for note in notes),
        started=started,
        notes=notes,
    )


if __name__ == "__main__":
    main()
