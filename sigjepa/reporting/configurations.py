"""Differences between the configurations, the code and the artifacts of runs."""

from collections.abc import Sequence
from typing import Any

from sigjepa.reporting.experiments import shown
from sigjepa.reporting.folds import FoldedRun
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import by_experiment
from sigjepa.store.manifest import flatten

NOT_COMPARED = ("seed", "fold", "name", "paths", "logger", "data.seed", "data.data_dir")
"""Keys that differ between any two runs and say nothing about the experiment; a prefix ends at a dot."""


def origin(run: Run) -> dict[str, Any]:
    """Return the configuration of a run, with the code, versions and artifacts behind it, by dotted key.

    Of a run that is pooled over folds it is theirs, each with artifacts of its own.
    """
    if isinstance(run, FoldedRun):
        return origin_of_folds(run)
    provenance = run.provenance
    own_folder = str(run.config.get("paths", {}).get("run_dir", run.folder)).rstrip("/")
    return {
        # where a run writes says nothing about it
        **{
            key: value
            for key, value in flatten(run.config)
            if not (isinstance(value, str) and f"{value}/".startswith(f"{own_folder}/"))
        },
        **{f"artifacts.{key}": value for key, value in provenance["artifacts"].items()},
        **{f"git.{key}": value for key, value in provenance["git"].items()},
        **{f"versions.{key}": value for key, value in provenance["versions"].items()},
        "platform": provenance["platform"],
    }


def origin_of_folds(folded: FoldedRun) -> dict[str, Any]:
    """Return the origin of all folds; of what differs between them, but for their artifacts, all values."""
    merged: dict[str, dict[str, None]] = {}
    for run in folded.folds:
        for key, value in origin(run).items():
            place = f"{key} of fold {run.fold}" if key.startswith("artifacts.") else key
            merged.setdefault(place, {})[shown(value)] = None
    return {key: " / ".join(values) for key, values in merged.items()}


def configuration_differences(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Return `{key: {experiment: value}}` for every key whose value is not the same in all runs.

    Several values within one experiment are joined by ` / `; a key that a run lacks is `-`.
    """
    groups = {name: [origin(run) for run in members] for name, members in by_experiment(runs).items()}
    keys = dict.fromkeys(key for origins in groups.values() for origin in origins for key in origin)
    differences = {}
    for key in keys:
        if any(key == skipped or key.startswith(f"{skipped}.") for skipped in NOT_COMPARED):
            continue
        values = {
            name: " / ".join(dict.fromkeys(shown(origin[key]) if key in origin else "-" for origin in origins))
            for name, origins in groups.items()
        }
        if len(set(values.values())) > 1 or any(" / " in value for value in values.values()):
            differences[key] = values
    return differences
