"""The jobs of a sweep before any is started: their folders, what they ask for, and the folder that holds them all."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

import hydra
from filelock import FileLock, Timeout
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from sigjepa.errors import SigjepaError
from sigjepa.runtime.config_description import config_directory
from sigjepa.runtime.processes import is_first_process
from sigjepa.runtime.resolvers import folder_name
from sigjepa.store.files import read_json, write_json
from sigjepa.store.manifest import content_key
from sigjepa.training.job import JOB_FILE, job_settings
from sigjepa.training.run_directory import FINISHED, read_status

SWEEP_FILE = "sweep.json"
SWEEPS = Path("multirun")
NOT_STARTED = "not started"
MULTIRUN = ("-m", "--multirun")


@dataclass(frozen=True)
class SweepJob:
    """One job of a sweep. folder: its name below the sweep's. config: composed. settings: see `job_settings`."""

    folder: str
    overrides: Sequence[str]
    config: DictConfig
    settings: Mapping[str, Any]


def sweep_jobs(config_name: str, overrides: Sequence[str]) -> list[SweepJob]:
    """Every job that `-m` with these overrides starts, in order; raises what Hydra raises for a mistake in them."""
    parser = OverridesParser.create()
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        overrides, base = _composed_base(config_name, overrides)
        of_hydra = [one for one in overrides if one.lstrip("+~").startswith(("hydra.", "hydra/"))]
        of_task = [one for one in overrides if one not in of_hydra]
        swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.get("params") or {}).items()]
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides([*swept, *of_task]), None)
        return [_job(config_name, job, of_hydra) for job in jobs]


def for_the_jobs(config_name: str, overrides: Sequence[str]) -> list[str]:
    """The overrides, changed where Hydra would refuse one that every job can take.

    Hydra composes a sweep without what is swept first, and there a key of a group that is swept may be missing. Such
    overrides go to `hydra.sweeper.params`, which it reads for the jobs alone.
    """
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return _composed_base(config_name, overrides)[0]


def _composed_base(config_name: str, overrides: Sequence[str]) -> tuple[list[str], DictConfig]:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = {str(one.input_line): one for one in parsed if not one.is_sweep_override()}
    late: list[Override] = []
    while True:
        try:
            base = hydra.compose(config_name, list(fixed), return_hydra_config=True)
            break
        except ConfigCompositionException as error:
            missing = re.search(r"[Cc]ould not override '([^'@]+)'", str(error))
            lines = [line for line, one in fixed.items() if missing and one.get_key_element() == missing.group(1)]
            if not lines or any("$" in line or "@" in line for line in lines):  # is a mistake, or not for `params`
                raise
            late += [fixed.pop(line) for line in lines]
    if not late:
        return list(overrides), base
    lines = [str(one.input_line) for one in parsed if one not in late]
    values = (one.get_value_element_as_str().replace("\\", "\\\\").replace('"', '\\"') for one in late)
    params = ",".join(f'{one.key_or_group}:"{value}"' for one, value in zip(late, values, strict=True))
    lines.append(f"++hydra.sweeper.params={{{params}}}")
    return lines, hydra.compose(config_name, [*fixed, lines[-1]], return_hydra_config=True)


def _job(config_name: str, overrides: Sequence[str], of_hydra: Sequence[str]) -> SweepJob:
    config = hydra.compose(config_name, [*of_hydra, *overrides], return_hydra_config=True)
    folder = folder_name(config.hydra.job.override_dirname)
    with open_dict(config):
        del config["hydra"]
    return SweepJob(folder, overrides, config, job_settings(config))


def job_states(folder: Path, jobs: Sequence[SweepJob]) -> dict[str, str]:
    """`finished`, `running`, `interrupted`, `failed` or `not started`, by a job's folder below `folder`.

    A running job has either a process or was killed: the process that starts it again finds out.
    """
    return {job.folder: read_status(folder / job.folder) or NOT_STARTED for job in jobs}


def sweep_key(jobs: Sequence[SweepJob]) -> str:
    """Identity of a sweep: its jobs, each by its folder and what it asks for."""
    return content_key({job.folder: job.settings for job in jobs})


@contextmanager
def sweep_folder(jobs: Sequence[SweepJob], root: Path, resume: bool) -> Iterator[Path]:
    """Hold the folder of a sweep: with `resume` the newest below `root` of the same jobs, otherwise a new one.

    A folder is new to all processes, for making it fails where it exists; one that another process holds is not taken.
    """
    for folder in known_sweeps(jobs, root) if resume else []:
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield folder
        finally:
            lock.release()
        return
    folder = new_folder(root)
    with FileLock(folder / ".lock", timeout=0):
        overrides = {job.folder: list(job.overrides) for job in jobs}
        write_json(folder / SWEEP_FILE, {"key": sweep_key(jobs), "jobs": overrides})
        yield folder


def known_sweeps(jobs: Sequence[SweepJob], root: Path) -> list[Path]:
    """Folders below `root` of sweeps of these jobs, the newest first."""
    records = sorted(root.glob(f"*/{SWEEP_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in records if read_json(path).get("key") == sweep_key(jobs)]


def new_folder(root: Path) -> Path:
    """A folder named by the time that no other process has."""
    while True:
        folder = root / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder


def interrupted_run(config_name: str, overrides: Sequence[str]) -> Path | None:
    """The newest folder beside where this run would land that holds the same job; None when there is none."""
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = hydra.compose(config_name, list(overrides), return_hydra_config=True)
        root = Path(str(config.hydra.run.dir)).parent
        with open_dict(config):
            del config["hydra"]
        settings = job_settings(config)
    records = sorted(root.glob(f"*/{JOB_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path.parent for path in records if read_json(path).get("settings") == settings), None)


@contextmanager
def continued(config_name: str, arguments: Sequence[str]) -> Iterator[list[str]]:
    """The command's arguments with the folder in which a job or a sweep goes on, and at the end what became of it.

    A folder that is named is kept. Arguments that ask for help or cannot be composed are left: Hydra answers those.
    """
    options = [one for one in arguments if one.startswith("-")]
    overrides = [one for one in arguments if not one.startswith("-")]
    if not is_first_process() or set(options) - set(MULTIRUN):
        yield list(arguments)
        return
    folder, jobs, named = None, [], None
    try:
        if options:
            jobs, named = sweep_jobs(config_name, overrides), _named_sweep(overrides)
            overrides = for_the_jobs(config_name, overrides)
        elif "resume=auto" in overrides and not any(one.startswith("hydra.run.dir=") for one in overrides):
            folder = interrupted_run(config_name, overrides)
    except (HydraException, OmegaConfBaseException, SigjepaError):
        pass  # the same error comes from the command itself, with its explanation
    if folder is not None:
        _say(f"{folder} holds this job ({read_status(folder)}); going on there. resume=never begins anew.")
    if not jobs:
        yield [*arguments, *([f"hydra.run.dir={folder}"] if folder is not None else [])]
        return
    resume = "resume=never" not in overrides
    with sweep_folder(jobs, SWEEPS, resume) if named is None else nullcontext(named) as sweep:
        _say(f"{sweep}: {_counted(job_states(sweep, jobs))}")
        try:
            yield [*options, *overrides, *([f"hydra.sweep.dir={sweep}"] if named is None else [])]
        finally:
            _say(_outcome(sweep, jobs))


def _named_sweep(overrides: Sequence[str]) -> Path | None:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [one.value() for one in parsed if one.key_or_group == "hydra.sweep.dir"]
    return Path(str(values[-1])) if values else None


def _counted(states: Mapping[str, str]) -> str:
    counts = Counter(states.values())
    return f"{len(states)} jobs, " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _outcome(sweep: Path, jobs: Sequence[SweepJob]) -> str:
    """What became of the jobs, and where and why those that are not finished ended."""
    states = job_states(sweep, jobs)
    lines = [f"{sweep}: {_counted(states)}"]
    for folder, state in states.items():
        if state not in (FINISHED, NOT_STARTED):
            error = read_json(sweep / folder / "summary.json").get("error", "no reason recorded")
            lines.append(f"  {state}: {sweep / folder}: {shorten(str(error), 300)}")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"sigjepa: {text}", file=sys.stderr, flush=True)
