"""Real sweeps that are killed, that hold a job which fails, that start at once, or run side by side on a cold cache.

    python benchmarks/reliability/sweeps.py --seconds 235

All are small sweeps of `data=tiny`. Each job must end as the same job of a sweep that nothing disturbed: byte for byte
in metrics.csv and in the weights of its checkpoints, ranks too, and every figure of summary.json but the time.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from interruption import differences, kill_when, outcome
from record import options, write_record

from sigjepa.training.run_directory import FINISHED, read_status

SMALL = (
    *("data=tiny", "size.max_functions=200", "trainer.max_epochs=2", "logger=none", "baseline=[random]"),
    "callbacks.resume_checkpoint.every_n_steps=1",
)
FOUR = ("experiment=exp2_1,hardneg_per_anchor", "seed=0,1", "negatives.tiers=null")
ONE_FAILS = ("experiment=exp1_4", "optimizer.lr=3e-4,1e30,1e-3")
SIDE_BY_SIDE = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
SKIPPED, RESUMED, BEGUN = "is finished: nothing to do", "Continuing at step", "before training"
KINDS = {"corpus", "teacher", "mined", "judged", "negatives"}
LIMIT = 600.0


def start(folder: Path, data: Path, *words: str) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own; what it says is added to `output.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"SIGJEPA_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sigjepa.train", "-m", *SMALL, *words],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def said(folder: Path) -> str:
    """All that the sweeps of a folder have said."""
    return (folder / "output.txt").read_text(errors="replace")


def jobs_of(sweep: Path) -> list[Path]:
    """The folders of the jobs that were begun."""
    return sorted(path.parent for path in sweep.glob("*/summary.json"))


def unlike(sweep: Path, expected: dict[str, dict[str, Any]]) -> list[str]:
    """In what its jobs are not those of the undisturbed sweep."""
    faults = [f"{name} has no folder" for name in sorted(expected.keys() - {job.name for job in jobs_of(sweep)})]
    for job in jobs_of(sweep):
        if differing := differences(job, expected[job.name]):
            faults.append(f"{job.name} differs in {', '.join(differing)}")
    return faults


def killed_sweep(
    folder: Path, data: Path, words: tuple[str, ...], length: float, moments: random.Random
) -> tuple[Path, Counter[str], list[str]]:
    """Kill a sweep and start it again until it ends by itself: where, what was counted, and what went wrong."""
    counts: Counter[str] = Counter()
    while True:
        finished = sum(path.read_text().count(f'"status": "{FINISHED}"') for path in folder.glob("**/summary.json"))
        before = said(folder) if folder.exists() else ""
        process = start(folder, data, *words)
        moment = time.perf_counter() + moments.uniform(0.3, 1.1) * length
        killed = kill_when(process, lambda moment=moment: time.perf_counter() >= moment, every=0.01)
        told = said(folder)[len(before) :]
        counts += Counter(kills=int(killed), skipped=told.count(SKIPPED), resumed=told.count(RESUMED))
        counts["begun anew"] += told.count(BEGUN) - told.count(RESUMED)
        if not killed:
            break
    sweeps = sorted({path.parent.parent for path in folder.glob("**/summary.json")})
    faults = [f"ended with {process.returncode}: {told[-300:]}"] if process.returncode else []
    if len(sweeps) != 1:
        faults.append(f"{len(sweeps)} folders instead of one")
    if told.count(SKIPPED) != finished:
        faults.append(f"{finished} jobs were finished, {told.count(SKIPPED)} skipped")
    return sweeps[0], counts, faults


def failing_sweep(folder: Path, data: Path) -> list[str]:
    """One of three jobs fails; started again, it alone is begun."""
    faults, kept = [], {}
    for attempt in ("first", "second"):
        before = said(folder) if folder.exists() else ""
        status = start(folder, data, *ONE_FAILS).wait(LIMIT)
        told = said(folder)[len(before) :]
        (sweep,) = (folder / "multirun").iterdir()
        states = Counter(read_status(job) for job in jobs_of(sweep))
        if not status or states != {FINISHED: 2, "failed": 1}:
            faults.append(f"{attempt} time: status {status}, {dict(states)}")
        if not re.search(r"failed: .*lr=1e\+?30", told):
            faults.append(f"{attempt} time: the job that failed is not named")
        done = {
            job.name: outcome(job) | {"time": (job / "summary.json").stat().st_mtime_ns}
            for job in jobs_of(sweep)
            if read_status(job) == FINISHED
        }
        if attempt == "second" and (done != kept or told.count(SKIPPED) != 2 or told.count(BEGUN) != 1):
            faults.append(f"started again: {told.count(SKIPPED)} skipped, {told.count(BEGUN)} begun")
        kept = done
    return faults


def simultaneous_sweeps(folder: Path, data: Path) -> list[str]:
    """The same sweep twice in the same second, with no folder given."""
    words = ("experiment=exp1_4", "seed=0", "trainer.max_epochs=1")
    processes = [start(folder, data, *words) for _ in range(2)]
    statuses = [process.wait(LIMIT) for process in processes]
    states = [[read_status(job) for job in jobs_of(sweep)] for sweep in (folder / "multirun").iterdir()]
    good = statuses == [0, 0] and states == [[FINISHED], [FINISHED]]
    return [] if good else [f"statuses {statuses}, jobs by folder {states}"]


def side_by_side(folder: Path, data: Path, expected: dict[str, dict[str, Any]]) -> list[str]:
    """Two processes on a cold cache: the jobs as one after the other, and every artifact written once."""
    written: defaultdict[Path, set[tuple[int, int]]] = defaultdict(set)
    process = start(folder, data, *FOUR, *SIDE_BY_SIDE, "hydra.sweep.dir=sweep")
    while process.poll() is None:  # a manifest is renamed to its place, so that a second build is another file
        for manifest in data.glob("*/*/manifest.json"):
            state = manifest.stat()
            written[manifest.relative_to(data)].add((state.st_ino, state.st_mtime_ns))
        time.sleep(0.02)
    faults = [f"ended with {process.returncode}: {said(folder)[-300:]}"] if process.returncode else []
    faults += [f"{manifest} was written {len(files)} times" for manifest, files in written.items() if len(files) > 1]
    kinds = Counter(manifest.parts[0] for manifest in written)
    if kinds != Counter(KINDS):
        faults.append(f"artifacts: {dict(kinds)}")
    logs = "".join(path.read_text(errors="replace") for path in folder.glob("sweep/*/train.log"))
    for line in ("Mined ", "Judging with ", "Hard negatives in "):  # each is logged by the one that does it
        if logs.count(line) != 1:
            faults.append(f"'{line.strip()}' is logged {logs.count(line)} times")
    return [*faults, *unlike(folder / "sweep", expected)]


@dataclass
class Killed:
    """The sweeps that are killed, each started with other words than the one before."""

    root: Path
    data: Path
    expected: dict[str, dict[str, Any]]
    length: float
    moments: random.Random
    joblib: bool
    counts: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    lost: int = 0
    reasons: list[str] = field(default_factory=list)

    def another(self) -> None:
        """Kill one more: in a named folder or not, its jobs one after the other or side by side."""
        named = ("hydra.sweep.dir=sweep",) if self.sweeps % 2 == 0 else ()
        launcher = SIDE_BY_SIDE if self.joblib and self.sweeps // 2 % 2 else ()
        self.sweeps += 1
        folder = self.root / f"killed_{self.sweeps}"
        words = (*FOUR, *named, *launcher)
        sweep, counted, problems = killed_sweep(folder, self.data, words, self.length, self.moments)
        problems += unlike(sweep, self.expected)
        self.counts.update(counted)
        self.lost += bool(problems)
        self.reasons += [f"killed sweep {self.sweeps}: {problem}" for problem in problems]
        shutil.rmtree(folder)

    def told(self) -> str:
        """What became of their jobs, as the sweeps themselves said."""
        again = self.counts["begun anew"] - 4 * self.sweeps
        return (
            f"{self.counts['kills']} kills; started again, the sweeps skipped {self.counts['skipped']} jobs that were "
            f"finished, went on with {self.counts['resumed']}, and began {again} again that had no checkpoint yet."
        )


def main() -> None:
    """Measure, and write the record."""
    arguments = options("sweeps", __doc__, seconds=235).parse_args()
    started = time.perf_counter()
    rows: list[list[str]] = []
    faults: list[str] = []
    notes: list[str] = []

    def left() -> float:
        return arguments.seconds - (time.perf_counter() - started)

    def add(what: str, cases: int, lost: int, reasons: list[str]) -> None:
        rows.append([what, str(cases), str(cases - lost), str(lost)])
        faults.extend(f"{what}: {reason}" for reason in reasons)

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = root / "data"
        undisturbed = root / "undisturbed"
        if start(undisturbed, data, *FOUR, "hydra.sweep.dir=sweep").wait(LIMIT):
            sys.exit(said(undisturbed))
        cold = time.perf_counter() - started
        expected = {job.name: outcome(job) for job in jobs_of(undisturbed / "sweep")}
        joblib = find_spec("hydra_plugins.hydra_joblib_launcher") is not None
        killed = Killed(root, data, expected, 0.6 * cold, random.Random(arguments.seed), joblib)
        killed.another()
        problems = failing_sweep(root / "failing", data)
        add("one job of three fails, and the sweep is started again", 1, bool(problems), problems)
        if not joblib:
            notes.append("Two jobs side by side: not measured, the extra `launchers` is not installed.")
        elif left() < 1.2 * cold:
            notes.append("Two jobs side by side on a cold cache: no time was left.")
        else:
            problems = side_by_side(root / "parallel", root / "data_parallel", expected)
            add("four jobs, two side by side (joblib), on a cold cache", 1, bool(problems), problems)
        pairs = [simultaneous_sweeps(root / "at_once", data)]
        if left() > 2 * cold:
            pairs.append(simultaneous_sweeps(root / "at_once_again", data))
        add("the same sweep started twice in the same second", len(pairs), sum(map(bool, pairs)), list(chain(*pairs)))
        while left() > 1.5 * cold:
            killed.another()
        what = "four jobs, killed with SIGKILL and started again until they ended"
        add(what, killed.sweeps, killed.lost, killed.reasons)
    notes.append(f"The time ended after {killed.sweeps} killed and {len(pairs)} simultaneous sweeps.")
    write_record(
        arguments.output,
        "Sweeps: killed, failing, simultaneous and parallel",
        ["what", "cases", "survived", "lost"],
        rows[-1:] + rows[:-1],
        lost=sum(int(row[-1]) for row in rows),
        started=started,
        notes=[*faults, killed.told(), *notes, "Survived: every job ended as that of a sweep that nothing disturbed."],
    )


if __name__ == "__main__":
    main()
