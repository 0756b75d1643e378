"""What a sweep would do, before it is started: `python -m sigjepa.sweep experiment=exp1_4,exp2_1 seed=0,1,2`.

Give the same words as `python -m sigjepa.train -m`. Nothing is built, trained or written: the jobs are listed with
their names, how each differs from the first, how many optimizer steps it takes, which artifacts it would have to build
first, and whether it is finished, interrupted, failed or not started in the folder where the sweep would go on.

    python -m sigjepa.sweep sweep=remedies data=quick
    python -m sigjepa.sweep hydra.sweep.dir=multirun/mine seed=0,1
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import OmegaConf

from sigjepa.runtime.command import parse_words, run_command
from sigjepa.runtime.terminal import show
from sigjepa.store.manifest import content_key, differences
from sigjepa.store.progress import progress

if TYPE_CHECKING:
    from sigjepa.training.sweep_jobs import SweepJob

HEADER = ("job", "differs from the first in", "steps", "to build first", "state")


def preview(overrides: list[str]) -> str:
    """The table of the jobs that `-m` with these overrides starts, and where."""
    from sigjepa.reporting.tables import markdown_table
    from sigjepa.training.sweep_jobs import SWEEPS, job_states, known_sweeps, sweep_jobs

    jobs = sweep_jobs("train", overrides)
    named = [one.partition("=")[2] for one in overrides if one.startswith("hydra.sweep.dir=")]
    folder = Path(named[-1]) if named else next(iter(known_sweeps(jobs, SWEEPS)), None)
    states = job_states(folder, jobs) if folder is not None else {}
    needs: dict[str, tuple[str, str]] = {}  # jobs with the same data are looked at once
    rows = []
    for job in progress(jobs, "look at jobs", unit="job"):
        key = content_key({"data": job.settings["data"], "epochs": job.settings["trainer"]})
        if key not in needs:
            needs[key] = steps_and_missing(job)
        state = states.get(job.folder, "not started")
        rows.append([job.folder, difference(jobs[0], job), *needs[key], state])
    where = f"in {folder}" if folder is not None else f"in a new folder below {SWEEPS}"
    return f"{len(jobs)} jobs {where}\n\n{markdown_table(HEADER, rows)}"


def difference(first: SweepJob, job: SweepJob) -> str:
    """Where a job's config, as written, differs from the first one's."""
    raw = [cast(Mapping[str, Any], OmegaConf.to_container(one.config, resolve=False)) for one in (first, job)]
    changes = differences(*raw)
    shown = [change.partition(":")[0] + "=" + change.rpartition(", want ")[2] for change in changes]
    return ", ".join(shown[:6]) + (f", and {len(shown) - 6} more" if len(shown) > 6 else "") or "-"


def steps_and_missing(job: SweepJob) -> tuple[str, str]:
    """Optimizer steps of a job, `?` as long as its corpus is not built, and the artifacts that are missing."""
    from sigjepa.pipeline import pipeline_of

    pipeline = pipeline_of(job.config)
    missing = pipeline.missing()
    epochs = job.settings["trainer"].get("max_epochs")
    if "corpus" in missing or not isinstance(epochs, int):
        return "?", ", ".join(missing) or "-"
    functions = len(pipeline.store.get(pipeline.corpus).ids("train"))
    return f"at most {epochs * math.ceil(functions / job.config.data.batch_size)}", ", ".join(missing) or "-"


def main() -> None:
    """Run the command of `sys.argv`."""
    flags = dict.fromkeys(("--dry-run", "-m", "--multirun"), "")
    run_command("sweep", lambda: show(preview(parse_words(sys.argv[1:])[1])), config_name="train", flags=flags)


if __name__ == "__main__":
    main()
