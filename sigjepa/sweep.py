"""What a sweep would do, before it is started: `python -m sigjepa.sweep experiment=exp1_4,exp2_1 seed=0,1,2`.

Give the same words as `python -m sigjepa.train -m`. Nothing is built, trained or written: the jobs are listed with
their names, how each differs from the first, how many optimizer steps it takes, which artifacts it would have to build
first, and whether it is finished, interrupted, failed or not started in the folder where the sweep would go on.

    python -m sigjepa.sweep sweep=remedies data=quick
    python -m sigjepa.sweep hydra.sweep.dir=multirun/mine seed=0,1
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sigjepa.errors import SigjepaError
from sigjepa.pipeline import pipeline_of
from sigjepa.reporting.tables import markdown_table
from sigjepa.runtime.command import explain, quote_path
from sigjepa.store.manifest import content_key, differences
from sigjepa.store.progress import progress
from sigjepa.training.sweep_jobs import SWEEPS, SweepJob, job_states, known_sweeps, sweep_jobs

HEADER = ("job", "differs from the first in", "steps", "to build first", "state")


def preview(overrides: list[str]) -> str:
    """The table of the jobs that `-m` with these overrides starts, and where."""
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
    pipeline = pipeline_of(job.config)
    missing = pipeline.missing()
    epochs = job.settings["trainer"].get("max_epochs")
    if "corpus" in missing or not isinstance(epochs, int):
        return "?", ", ".join(missing) or "-"
    functions = len(pipeline.store.get(pipeline.corpus).ids("train"))
    return f"at most {epochs * math.ceil(functions / job.config.data.batch_size)}", ", ".join(missing) or "-"


def main() -> None:
    """Print the preview; a user's mistake exits with 1 and one message."""
    arguments = [one for one in sys.argv[1:] if one not in ("--dry-run", "-m", "--multirun")]
    if any(one.startswith("-") for one in arguments):
        print(__doc__)
        sys.exit(0 if {"-h", "--help"} & set(arguments) else 2)
    try:
        print(preview([quote_path(argument) for argument in arguments]))
    except SigjepaError as error:
        sys.exit(f"sigjepa: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"sigjepa: {explain(error, 'train', arguments)}")


if __name__ == "__main__":
    main()
