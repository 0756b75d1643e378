"""A finished run's results, sent to W&B."""

from collections.abc import Sequence

from lightning.pytorch.loggers import Logger

from sigjepa.reporting.plots import plot_curves
from sigjepa.reporting.run import Run
from sigjepa.training.wandb_records import log_images, log_tables, result_rows


def log_run(loggers: Sequence[Logger], run: Run) -> None:
    """Send the result table and the curves to W&B, where that is a logger."""
    if loggers:
        log_tables(list(loggers), {"results": result_rows({run.experiment: run.summary, **run.baselines})})
        plot_curves([run], run.folder / "figures" / "curves", run.monitor)
        log_images(list(loggers), {"curves": run.folder / "figures" / "curves.png"})
