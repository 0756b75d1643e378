"""The published Exp 1.4 and Exp 2.1 as a reference: another corpus and teacher, so beside and never in a comparison."""

import json
from importlib.resources import files
from typing import Any

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.evaluation.metrics import default_metrics

MARK = "‡"
NOTE = f"{MARK} published figures of another corpus and another teacher: a reference, not a comparison."
CURVE = "val/rank10"


def published_results() -> dict[str, Any]:
    """Return the published figures as they were printed: percent for ranks."""
    return json.loads((files("sigjepa.reporting") / "published_results.json").read_text(encoding="utf-8"))


def published_summary(experiment: str) -> dict[str, float]:
    """Return a published run in the keys of `summary.json`, ranks as fractions; nothing for one never published."""
    run = published_results()["runs"].get(experiment)
    if run is None:
        return {}
    summary: dict[str, float] = {key: run[key] for key in ("best_epoch", "stopped_epoch", "temperature")}
    summary["first_loss"] = run["first_train_loss"]
    for split in HELD_OUT:
        for name, value in run[split].items():
            summary[f"{split}/{name}"] = value / 100 if default_metrics()[name].percent else value
    return summary


def published_curve(experiment: str, key: str) -> dict[int, float]:
    """Return a published metric by epoch, as fractions; nothing for what was never published: only val/rank10 was."""
    run = published_results()["runs"].get(experiment)
    return (
        {int(epoch): value / 100 for epoch, value in run["val_rank10_by_epoch"].items()} if run and key == CURVE else {}
    )
