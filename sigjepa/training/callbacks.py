"""Callbacks of a run."""

import csv
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from lightning import Callback, LightningModule, Trainer

from sigjepa.evaluation.metrics import Metrics, monitored_metric
from sigjepa.runtime.instantiate import check_targets, instantiate
from sigjepa.store.files import atomic_path


class MetricsTable(Callback):
    """Write `metrics.csv`: a row an epoch, with every figure logged in it.

    The file is rewritten whole at each epoch's end (atomically), since columns may appear late: a curriculum logs its
    mined figures only once it has begun.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row; validation has run by now."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name != "train/step_loss"}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": rate} | metrics)
        if trainer.is_global_zero:
            write_rows(self.path, self.rows)

    def state_dict(self) -> dict[str, list[dict[str, float]]]:
        """Return the rows so far, kept in the checkpoint so that a continued run continues its table."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, list[dict[str, float]]]) -> None:
        """Take up the table of the run that is continued."""
        self.rows = list(state_dict["rows"])


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows as CSV, atomically; columns in the order in which they first appear, absent values empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def with_modes(
    nodes: Mapping[str, Any] | None, metrics: Metrics, allowed_targets: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the config of callbacks that are not null, with the `mode` of those that monitor a val metric and name
    none: its direction.

    Raises SigjepaError, with the nearest name, for a `monitor` that nothing can be selected by; a callback that gives
    its `mode` itself may monitor anything.
    """
    check_targets(nodes, allowed_targets)
    complete = {name: node for name, node in (nodes or {}).items() if node is not None}
    for name, node in complete.items():
        if not isinstance(node, Mapping) or node.get("monitor") is None or "mode" in node:
            continue
        if "mode" in inspect.signature(get_object(node["_target_"])).parameters:
            complete[name] = {**node, "mode": monitored_metric(node["monitor"], metrics).direction}
    return complete


def build_callbacks(
    nodes: Mapping[str, Any] | None, metrics: Metrics, allowed_targets: Sequence[str] = ()
) -> list[Callback]:
    """Return the callbacks that config nodes describe, see `with_modes`."""
    return list(instantiate(with_modes(nodes, metrics, allowed_targets), allowed_targets).values())
