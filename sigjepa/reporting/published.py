"""The published Exp 1.4 and Exp 2.1 as a reference: another corpus and teacher, so beside and never in a comparison."""

import json
from importlib.resources import files
from typing import Any

MARK = "‡"
NOTE = f"{MARK} published figures of another corpus and another teacher: a reference, not a comparison."
METRICS = tuple(f"{split}/{metric}" for split in ("val", "test") for metric in ("rank1", "rank5", "rank10", "cosine"))


def published_results() -> dict[str, Any]:
    """The published figures as they were printed: percent for ranks."""
    return json.loads((files("sigjepa.reporting") / "published_results.json").read_text(encoding="utf-8"))


def published_summary(experiment: str) -> dict[str, float]:
    """A published run in the keys of `summary.json`, ranks as fractions; empty for an experiment never published."""
    run = published_results()["runs"].get(experiment)
    if run is None:
        return {}
    summary: dict[str, float] = {key: run[key] for key in ("best_epoch", "stopped_epoch", "temperature")}
    summary["first_loss"] = run["first_train_loss"]
    for key in METRICS:
        split, metric = key.split("/")
        summary[key] = run[split][metric] if metric == "cosine" else run[split][metric] / 100
    return summary


def published_curve(experiment: str) -> dict[int, float]:
    """Published val/rank10 by epoch, as fractions; empty for an experiment never published."""
    run = published_results()["runs"].get(experiment, {"val_rank10_by_epoch": {}})
    return {int(epoch): value / 100 for epoch, value in run["val_rank10_by_epoch"].items()}
