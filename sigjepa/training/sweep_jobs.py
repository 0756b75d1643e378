"""A sweep: its jobs, the folder that holds them all, and which job lies where in it."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from textwrap import shorten
from typing import Any

from filelock import BaseFileLock, Timeout
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from sigjepa.errors import SigjepaError
from sigjepa.runtime.processes import is_first_process
from sigjepa.runtime.replaced_targets import drop_keys_of_replaced_targets
from sigjepa.runtime.words import quoted
from sigjepa.store.files import read_json, write_json, written_files
from sigjepa.store.locks import file_lock
from sigjepa.store.manifest import content_key
from sigjepa.training.job import job_settings
from sigjepa.training.process_check import check_sweep
from sigjepa.training.run_file_names import JOB_FILE, SUMMARY_FILE
from sigjepa.training.run_status import FINISHED, read_status

SWEEP_FILE = "sweep.json"
NOT_STARTED = "not started"


@dataclass(frozen=True)
class SweepJob:
    """One job of a sweep.

    folder: its name below the sweep's. overrides: as the sweeper gives them. config: composed, without Hydra's node.
    settings: see `job_settings`.
    """

    folder: str
    overrides: list[str]
    config: DictConfig
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Identity of the job: the hash of its settings."""
        return content_key(self.settings)

    @property
    def arguments(self) -> list[str]:
        """The overrides for Hydra, with the folder, which Hydra might name by the number of times it was asked."""
        return [*self.overrides, f"hydra.sweep.subdir={quoted(self.folder)}"]


def compose_job(loader: ConfigLoader, sweep: DictConfig, overrides: Sequence[str], number: int) -> SweepJob:
    """Compose a job of a sweep as a launcher does; raises SigjepaError for one that would run the sweep again."""
    config = loader.load_sweep_config(sweep, list(overrides))
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
        hydra: Any = HydraConfig.instance()
        running, hydra.cfg = hydra.cfg, config  # a folder's name may ask for `${hydra:...}`
        try:
            folder = str(config.hydra.sweep.subdir)
        finally:
            hydra.cfg = running
        drop_keys_of_replaced_targets(config, config.hydra)
        del config["hydra"]
    settings = job_settings(config)
    check_sweep(settings["trainer"])
    return SweepJob(folder, list(overrides), config, settings)


def is_grid(sweep: DictConfig) -> bool:
    """Return whether all jobs of a sweep are known before the first one is started."""
    return sweep.hydra.sweeper._target_ == f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"


def grid_jobs(loader: ConfigLoader, sweep: DictConfig, arguments: Sequence[str]) -> list[SweepJob]:
    """Compose every job of a grid, in order; raises what Hydra raises for a mistake in the overrides."""
    swept = [f"{key}={value}" for key, value in (sweep.hydra.sweeper.get("params") or {}).items()]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create(loader).parse_overrides([*swept, *arguments]), None)
    return [compose_job(loader, sweep, overrides, number) for number, overrides in enumerate(jobs)]


def sweep_key(sweep: DictConfig, arguments: Sequence[str], grid: Sequence[SweepJob] | None) -> str:
    """Return the identity of a sweep: its jobs, or the words of one whose sweeper decides as it goes."""
    if grid is not None:
        return content_key({"jobs": sorted({job.key for job in grid})})
    words = sorted(word for word in arguments if not word.startswith("resume="))
    sweeper = OmegaConf.to_container(sweep.hydra.sweeper, enum_to_str=True)
    return content_key({"sweeper": sweeper, "arguments": words})


def find_jobs(root: Path) -> dict[str, Path]:
    """Return the folder of every job at or below `root` by the job's key; of several folders of one job the newest."""
    folders = {}
    for path, _ in sorted(written_files(root, JOB_FILE).items(), key=itemgetter(1)):
        try:
            folders[content_key(read_json(path)["settings"])] = path.parent
        except (SigjepaError, KeyError, TypeError):  # the job that lands in that folder names what is wrong with it
            continue
    return folders


def find_sweeps(key: str, root: Path) -> list[Path]:
    """Return the folders below `root` of sweeps with this key, the newest first."""
    records = [(path, when) for path, when in written_files(root, SWEEP_FILE).items() if path.parents[1] == root]
    newest_first = sorted(records, key=itemgetter(1), reverse=True)
    return [path.parent for path, _ in newest_first if _read_record(path).get("key") == key]


def recorded_jobs(folder: Path) -> dict[str, list[str]]:
    """Return the overrides of every job that a sweep has asked for, by the job's folder below `folder`.

    Raises SigjepaError naming a record that can't be read.
    """
    return dict(_read_record(folder / SWEEP_FILE)["jobs"]) if (folder / SWEEP_FILE).exists() else {}


def _read_record(path: Path) -> dict[str, Any]:
    record = read_json(path)
    jobs = record.get("jobs") if isinstance(record, dict) else None
    if not isinstance(jobs, dict) or not all(name.isprintable() and isinstance(jobs[name], list) for name in jobs):
        raise SigjepaError(f"{path} is not the record of a sweep; delete it, and its jobs are found by themselves.")
    return record


def is_named(node: DictConfig) -> bool:
    """Return whether a folder (`hydra.run` or `hydra.sweep`) has a name, so none that the time gives it."""
    return "${now:" not in str(OmegaConf.to_container(node, resolve=False)["dir"])  # type: ignore[index,call-overload]


def resume_setting(config: DictConfig) -> str:
    """Return `resume` as it is written, so the resolver's name where nobody has set it."""
    return str(OmegaConf.to_container(config, resolve=False).get("resume"))  # type: ignore[union-attr]


def resume_run(config: DictConfig) -> None:
    """Set `hydra.run.dir` to the newest folder beside it that holds the same job, where `resume=auto` asks for it."""
    if resume_setting(config) != "auto" or is_named(config.hydra.run) or not is_first_process():
        return
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    drop_keys_of_replaced_targets(job, config.hydra)
    folder = find_jobs(Path(config.hydra.run.dir).parent).get(content_key(job_settings(job)))
    if folder is not None:
        config.hydra.run.dir = str(folder)
        _say(f"{folder} holds this job ({read_status(folder)}); going on there. resume=never begins anew.")


@dataclass
class SweepContext(HydraContext):
    """The context of a sweep that its launcher needs beside Hydra's own.

    launcher: the node of the chosen one. sweep: the sweep's config. folder, key: its folder and identity. jobs: the
    overrides of its jobs, by folder. taken: the same of all jobs that were ever asked for in that folder. held: the
    folder of each job that was begun, by key. placed: jobs that are composed and have their folder, by overrides.
    """

    launcher: DictConfig
    sweep: DictConfig
    folder: Path
    key: str
    jobs: dict[str, list[str]] = field(default_factory=dict)
    taken: dict[str, list[str]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    placed: dict[tuple[str, ...], SweepJob] = field(default_factory=dict)

    def place(self, overrides: Sequence[Sequence[str]], first: int) -> list[SweepJob]:
        """Return these jobs, numbered from `first`, each with its folder, and record them."""
        for number, words in enumerate(overrides, first):
            if tuple(words) not in self.placed:
                self.add(compose_job(self.config_loader, self.sweep, words, number))
        self.record()
        return [self.placed[tuple(words)] for words in overrides]

    def add(self, job: SweepJob) -> None:
        """Give a job the folder that holds it, or that Hydra gives it, or where another job lies there a new one."""
        folder = self.held.get(job.key, job.folder)
        if job.key not in self.held and self.taken.get(folder, job.overrides) != job.overrides:
            folder = f"{folder}-{job.key[:8]}"
        self.held[job.key] = folder
        self.jobs[folder] = self.taken[folder] = job.overrides
        self.placed[tuple(job.overrides)] = replace(job, folder=folder)

    def record(self) -> None:
        """Write the jobs into the sweep's folder, beside those of sweeps that share it."""
        with file_lock(self.folder / f".{SWEEP_FILE}.lock"):
            jobs = recorded_jobs(self.folder) | self.jobs
            write_json(self.folder / SWEEP_FILE, {"key": self.key, "jobs": jobs})


@contextmanager
def open_sweep(hydra: HydraContext, sweep: DictConfig, arguments: Sequence[str]) -> Iterator[SweepContext]:
    """Choose and hold the folder of a sweep, set it in the config, and say before and after what its jobs came to.

    A folder with a name is kept. Otherwise it is the newest of the same sweep, or with `resume=never` a new one.
    """
    grid = grid_jobs(hydra.config_loader, sweep, arguments) if is_grid(sweep) else None
    key, resume = sweep_key(sweep, arguments, grid), resume_setting(sweep) != "never"
    folder, lock = Path(sweep.hydra.sweep.dir), None
    if not is_named(sweep.hydra.sweep):
        folder, lock = hold_folder(find_sweeps(key, folder.parent) if resume else [], folder.parent)
        sweep.hydra.sweep.dir = str(folder)
        sweep.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder))}")
    context = SweepContext(hydra.config_loader, hydra.callbacks, sweep.hydra.launcher, sweep, folder, key)
    try:
        context.taken = recorded_jobs(folder)
        if resume:
            context.held = {job: str(path.relative_to(folder)) for job, path in find_jobs(folder).items()}
        if grid is None:
            context.jobs = dict(context.taken)
            name = str(sweep.hydra.sweeper._target_).rpartition(".")[2]
            _say(f"{folder}: {name} asks for jobs as it goes; so far {count_states(folder, context.jobs)}")
        else:
            for job in grid:
                context.add(job)
            context.record()
            _say(f"{folder}: {count_states(folder, context.jobs)}")
        try:
            yield context
        finally:
            _say(describe_outcome(folder, context.jobs))
    finally:
        if lock is not None:
            lock.release()


def hold_folder(known: Sequence[Path], root: Path) -> tuple[Path, BaseFileLock]:
    """Return the first of the `known` folders that no other process holds, else a new one below `root`, and its lock.

    A new folder is new to all processes, for making it fails where it exists.
    """
    for folder in known:
        lock = file_lock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        return folder, lock
    while True:
        folder = root / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        lock = file_lock(folder / ".lock", timeout=0)
        lock.acquire()
        return folder, lock


def job_states(folder: Path, jobs: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """Return `finished`, `running`, `interrupted`, `failed` or `not started`, by a job's folder below `folder`.

    A running job has either a process or was killed: the process that starts it again finds out.
    """
    return {job: read_status(folder / job) or NOT_STARTED for job in jobs}


def count_states(folder: Path, jobs: Mapping[str, Any]) -> str:
    """Return how many jobs there are, and how many are in each state."""
    counts = Counter(job_states(folder, jobs).values())
    return ", ".join(
        [f"{len(jobs)} job{'s' * (len(jobs) != 1)}", *(f"{count} {state}" for state, count in sorted(counts.items()))]
    )


def describe_outcome(sweep: Path, jobs: Mapping[str, Any]) -> str:
    """Return what became of the jobs, and where and why those that are not finished ended."""
    lines = [f"{sweep}: {count_states(sweep, jobs)}"]
    for folder, state in job_states(sweep, jobs).items():
        if state not in (FINISHED, NOT_STARTED):
            error = read_json(sweep / folder / SUMMARY_FILE).get("error", "no reason recorded")
            lines.append(f"  {state}: {sweep / folder}: {shorten(str(error), 300)}")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"sigjepa: {text}", file=sys.stderr, flush=True)
