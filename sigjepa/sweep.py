"""Preview of a sweep, before it is started: `python -m sigjepa.sweep experiment=exp1_4,exp2_1 seed=0,1,2`.

Give the same words as `python -m sigjepa.train -m`. Nothing is built, trained or written: the jobs are listed, with
how each differs from the first, how many optimizer steps it takes, which artifacts it would have to build first, and
whether it is finished, interrupted, failed or not started in the folder where the sweep would go on. A sweeper that
decides from results, as Optuna's does, is not run: the jobs that it has asked for so far are listed.

    python -m sigjepa.sweep sweep=remedies data=quick
    python -m sigjepa.sweep hydra.sweep.dir=multirun/mine seed=0,1
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.imports import import_libraries

if TYPE_CHECKING:
    from sigjepa.training.sweep_jobs import SweepJob

KEYS_OF_COST = ("corpus", "folds", "fold", "teacher", "negatives", "baseline", "data", "trainer")
"""Keys of a job that decide its steps and which artifacts it needs."""
HEADER = ("job", "differs from the first in", "steps", "to build first", "state")


def preview(loader: ConfigLoader, sweep: DictConfig, arguments: Sequence[str]) -> str:
    """Return the table of the jobs that a sweep of these arguments starts, and where."""
    from sigjepa.reporting.tables import markdown_table
    from sigjepa.store.manifest import content_key
    from sigjepa.store.progress import progress
    from sigjepa.training import sweep_jobs as sweeps

    grid = sweeps.grid_jobs(loader, sweep, arguments) if sweeps.is_grid(sweep) else None
    folder, root = Path(sweep.hydra.sweep.dir), Path(sweep.hydra.sweep.dir).parent
    known = (
        [folder]
        if sweeps.is_named(sweep.hydra.sweep)
        else sweeps.find_sweeps(sweeps.sweep_key(sweep, arguments, grid), root)[:1]
    )
    where = f"in {known[0]}" if known else f"in a new folder below {root}"
    if grid is None:
        states = {
            job: state
            for folder in known
            for job, state in sweeps.job_states(folder, sweeps.recorded_jobs(folder)).items()
        }
        name = str(sweep.hydra.sweeper._target_).rpartition(".")[2]
        table = markdown_table(("job", "state"), [[job, state] for job, state in states.items()])
        return f"{name} asks for jobs as it goes, {where}; {len(states)} so far" + (f"\n\n{table}" if states else "")
    begun = {job: path for folder in known for job, path in sweeps.find_jobs(folder).items()}
    needs: dict[str, tuple[str, str]] = {}  # jobs with the same artifacts and steps are looked at once
    rows: list[list[str]] = []
    for job in progress(grid, "look at jobs", unit="job"):
        key = content_key({name: job.settings.get(name) for name in KEYS_OF_COST})
        if key not in needs:
            needs[key] = steps_and_missing(job)
        state = sweeps.job_states(begun[job.key], ["."])["."] if job.key in begun else sweeps.NOT_STARTED
        rows.append([str(len(rows)), difference(grid[0], job), *needs[key], state])
    return f"{len(grid)} jobs {where}, the first as {grid[0].folder}\n\n{markdown_table(HEADER, rows)}"


def difference(first: SweepJob, job: SweepJob) -> str:
    """Return where a job's config, as written, differs from the first one's."""
    from sigjepa.store.manifest import differences

    raw = [cast(Mapping[str, Any], OmegaConf.to_container(side.config, resolve=False)) for side in (first, job)]
    shown = [f"{each.key}={each.want}" for each in differences(*raw)]
    return ", ".join(shown[:6]) + (f", and {len(shown) - 6} more" if len(shown) > 6 else "") or "-"


def steps_and_missing(job: SweepJob) -> tuple[str, str]:
    """Return a job's optimizer steps, `?` as long as its corpus is not built, and the artifacts that are missing."""
    import_libraries(["lightning"])
    from sigjepa.pipeline import pipeline_of

    pipeline = pipeline_of(job.config)
    missing = pipeline.missing()
    epochs = job.settings["trainer"].get("max_epochs")
    if "corpus" in missing or not isinstance(epochs, int):
        return "?", ", ".join(missing) or "-"
    corpus = pipeline.get_corpus()
    functions = len(corpus.ids("train"))
    return f"at most {epochs * math.ceil(functions / job.config.data.batch_size)}", ", ".join(missing) or "-"


def refuse_job(config: DictConfig) -> None:
    """Raise for a job: a preview starts none."""
    raise AssertionError(f"a preview has started a job of {config.name}")


def start() -> None:
    """Show what the sweep that `sys.argv` asks for would do."""
    sys.argv += ["--multirun", "hydra.callbacks.resume.sweeper=PreviewSweeper"]
    hydra_job("train", refuse_job)


def main() -> None:
    """Run the command of `sys.argv`."""
    flags = dict.fromkeys(("--dry-run", "-m", "--multirun"), "")
    run_command("sweep", start, config_name="train", flags=flags, about=__doc__)


if __name__ == "__main__":
    main()
