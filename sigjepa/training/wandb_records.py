"""Records for W&B beside metrics: tables, figures, and a run of its own for a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.training.job import experiment_key
from sigjepa.training.loggers import RunLogger, logger_session, wandb_logger, warn_of_wandb_errors
from sigjepa.training.wandb_names import IDENTITY

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")

Row = Mapping[str, Any]
"""One row of a table: value by column."""


def statistic_rows(statistics: Mapping[str, Any]) -> list[Row]:
    """Return a table of figures by name, as the hard-negative index sums itself up."""
    return [{"statistic": name, "value": value} for name, value in statistics.items()]


def result_rows(results: Mapping[str, Row]) -> list[Row]:
    """Return the `val/…` and `test/…` figures of a run and of the baselines on its pools, by name."""
    columns = list(
        dict.fromkeys(name for row in results.values() for name in row if name.startswith(("val/", "test/")))
    )
    return [{"run": name} | {column: row.get(column) for column in columns} for name, row in results.items()]


def table_of(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Return columns in the order in which they first appear, and rows; one that mixes kinds is written as text."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    mixed = {name for name in columns if len({_kind(row[name]) for row in rows if row.get(name) is not None}) > 1}
    return columns, [
        [str(value) if name in mixed and value is not None else value for name in columns for value in [row.get(name)]]
        for row in rows
    ]


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def log_identity(loggers: Sequence[Logger], config: DictConfig) -> None:
    """Tell loggers which experiment a run is of: two of one name are two in W&B, too."""
    for logger in loggers:
        logger.log_hyperparams({IDENTITY: f"{config.name} {experiment_key(config)}"})


def log_tables(loggers: Sequence[Logger], tables: Mapping[str, Sequence[Row]]) -> None:
    """Send each table that has rows to the W&B runs among `loggers`, under its name.

    Online, W&B checks the login before it takes a table; when that fails, the rest is not tried, for each would wait.
    """
    filled = {name: table_of(rows) for name, rows in tables.items() if rows}
    for logger in loggers:
        if isinstance(logger, RunLogger):
            with warn_of_wandb_errors(f"log the tables {', '.join(filled)}"):
                for name, (columns, data) in filled.items():
                    logger.log_table(name, columns=columns, data=data)


def log_images(loggers: Sequence[Logger], images: Mapping[str, Path]) -> None:
    """Send each image file to the W&B runs among `loggers`, under its name.

    Raises SigjepaError for a file that does not exist or is no raster image, which is all that W&B shows.
    """
    for name, path in images.items():
        if path.suffix.lower() not in IMAGES or not path.is_file():
            raise SigjepaError(f"W&B shows {', '.join(IMAGES)} files, and {path} (figure '{name}') is not one.")
    for logger in loggers:
        if isinstance(logger, RunLogger):
            with warn_of_wandb_errors(f"log the figures {', '.join(images)}"):
                for name, path in images.items():
                    logger.log_image(name, [str(path)])


def log_report(
    save_dir: Path,
    project: str,
    group: str,
    figures: Mapping[str, Path],
    tables: Mapping[str, Sequence[Row]],
    entity: str | None = None,
    mode: str | None = None,
) -> None:
    """Send a report's figures and tables to a W&B run of its own, of job type `report`, in the group of its runs.

    save_dir: the report's folder; the same folder continues the same W&B run. Raises SigjepaError as `log_images`.
    """
    logger = wandb_logger(project, f"report {group}", group, str(save_dir), entity=entity, job_type="report", mode=mode)
    with logger_session([logger]) as loggers:
        log_images(loggers, {f"report/{name}": path for name, path in figures.items()})
        log_tables(loggers, {f"report/{name}": rows for name, rows in tables.items()})
