"""Compare runs: `python -m sigjepa.report runs=multirun/<sweep>` writes one folder with all that they can tell."""

import logging
import math
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import plain
from sigjepa.store.files import written_files
from sigjepa.training.run_file_names import CURVES_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from sigjepa.reporting.run import Run

log = logging.getLogger(__name__)


def report(config: DictConfig) -> None:
    """Write `report.md`, `report.html` and `figures/` of the runs below the folders that `runs` names."""
    from sigjepa.evaluation.pools import check_held_out
    from sigjepa.reporting.runs import FINISHED, find_runs, run_folders

    resolved = plain(config)
    check_held_out(resolved["split"])
    check_numbers(resolved)
    watch, seconds = bool(resolved["watch"]), float(resolved["refresh_seconds"])
    folders = run_folders(resolved["runs"])
    log.info("runs in %s", ", ".join(map(str, folders)))
    seen: object = None
    while True:
        state = written_state(folders)
        if state != seen:
            seen = state
            runs = find_runs(folders)
            write_once(runs, resolved)
            if not watch or all(run.status in (FINISHED, "failed", "interrupted") for run in runs):
                return
        time.sleep(seconds)


def check_numbers(resolved: dict[str, Any]) -> None:
    """Raise SigjepaError for a setting that should be a number and is none, or is out of its range."""
    for key, above in (("power", 0.0), ("refresh_seconds", 0.0), ("explorer_queries", -1.0)):
        value = resolved[key]
        number = isinstance(value, int | float) and not isinstance(value, bool) and above < value < math.inf
        if not number and (value is not None or key != "power"):
            raise SigjepaError(f"{key}={value}: give a finite number above {above:g}.")
    queries, epochs = resolved["explorer_queries"], resolved["epochs"]
    if not isinstance(queries, int):
        raise SigjepaError(f"explorer_queries={queries}: give a whole number; 0 leaves the explorer out.")
    if not isinstance(epochs, list) or not all(type(epoch) is int and epoch >= 0 for epoch in epochs):
        raise SigjepaError(f"epochs={epochs}: give a list of whole numbers from 0 on, 'epochs=[0, 5, 10]'.")


def written_state(folders: list[Path]) -> object:
    """Return what changes whenever a run below `folders` begins, validates an epoch, or ends."""
    return [written_files(folder, SUMMARY_FILE, CURVES_FILE) for folder in folders]


def write_once(runs: list["Run"], resolved: dict[str, Any]) -> None:
    """Write the report of `runs` as they are now."""
    from sigjepa.reporting.folds import pool_folds
    from sigjepa.reporting.report_folder import (
        check_comparable,
        evidence_or_reason,
        explore_runs,
        report_markdown,
        title_of,
        write_report,
    )
    from sigjepa.reporting.runs import FINISHED, finished_runs, readable_for

    started = time.perf_counter()
    runs = [readable_for(run, resolved["split"]) for run in runs]
    finished = [run for run in runs if run.status == FINISHED] if resolved["watch"] else finished_runs(runs)
    pooled, left_out = pool_folds(finished)
    check_comparable(pooled, resolved["allow_different_pools"])
    output, baseline, split = Path(resolved["output"]), resolved["baseline"], resolved["split"]
    evidence = evidence_or_reason(finished, Path(resolved["data_dir"]) if resolved["data_dir"] else None)
    markdown = report_markdown(
        runs,
        output / "figures",
        command=shlex.join(["python", "-m", "sigjepa.report", *sys.argv[1:]]),
        baseline=baseline,
        split=split,
        metric=resolved["metric"],
        epochs=resolved["epochs"],
        published=resolved["published"],
        power=None if resolved["power"] is None else float(resolved["power"]),
        evidence=evidence,
    )
    explorer = explore_runs(finished, baseline, split, evidence, resolved["explorer_queries"])
    refresh_seconds = int(resolved["refresh_seconds"]) if resolved["watch"] else None
    page = write_report(output, markdown, title_of(runs), explorer, refresh_seconds)
    last = not resolved["watch"] or len(finished) == len(runs)
    if resolved["wandb"] is not None and finished and last:
        from sigjepa.training.wandb_records import log_report, result_rows

        figures = {path.stem: path for path in sorted((page.parent / "figures").glob("*.png"))}
        results = result_rows({f"{run.experiment}, seed {run.seed}": run.summary for run in pooled})
        group = resolved["group"] or finished[0].folder.resolve().parent.name
        log_report(page.parent, resolved["project"], group, figures, {"results": results}, mode=resolved["wandb"])
    for experiment, reasons in left_out.items():
        log.warning("Left out of tables and tests: %s, %s", experiment, "; ".join(reasons))
    print(f"{len(finished)} of {len(runs)} runs finished; {page} written in {time.perf_counter() - started:.1f} s")


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("report", lambda: hydra_job("report", report, ["torch"]))


if __name__ == "__main__":
    main()
