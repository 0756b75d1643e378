"""A finished run's results, sent to W&B."""

from collections.abc import Sequence

from lightning.pytorch.loggers import Logger

from sigjepa.corpus.corpus import Corpus
from sigjepa.reporting.hard_queries import hard_query_rows
from sigjepa.reporting.plots import plot_curves
from sigjepa.reporting.run import Run
from sigjepa.training.wandb_records import log_images, log_tables, result_rows


def log_run(loggers: Sequence[Logger], run: Run, corpus: Corpus) -> None:
    """Send the result table, the hardest queries, explained, and the curves to W&B, where that is a logger."""
    if loggers:
        results = result_rows({run.experiment: run.summary, **run.baselines})
        log_tables(list(loggers), {"results": results, "hard_queries": hard_query_rows(run, corpus)})
        plot_curves([run], run.folder / "figures" / "curves", run.monitor)
        log_images(list(loggers), {"curves": run.folder / "figures" / "curves.png"})
