"""Lines of other libraries that say nothing to a user of this one, kept out of terminal and log by name and message."""

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from sigjepa.runtime.terminal import RewrittenStream
from sigjepa.store.credentials import without_credentials

LOG_LINES = {
    "lightning.pytorch.utilities.rank_zero": (
        r"(GPU|TPU|HPU) available: ",  # the device stands in provenance.json
        r"💡 Tip: ",  # adverts
        r"Loading `train_dataloader` to estimate number of stepping batches",
        r"`Trainer\.fit` stopped: ",  # the last epoch's line says so
        r"(Restoring states|Restored all states|Loaded model weights) from the checkpoint",
        r"Initializing distributed: ",
        r"-{20,}\ndistributed_backend=",
    ),
    "lightning.fabric.utilities.rank_zero": (r"`weights_only` was not set", r"Initializing distributed: "),
    "lightning.pytorch.trainer.connectors.checkpoint_connector": (r"`weights_only` was not set",),  # when it is dumped
}
"""By the name of a logger: how its messages begin that are left out."""
WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),  # Lightning's own use of torch
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", DeprecationWarning),
    (r"The '\w+_dataloader' does not have many workers", UserWarning),  # data in memory needs none
    (r"The number of training batches \(\d+\) is smaller than the logging interval", UserWarning),
    (r"ReduceLROnPlateau conditioned on metric .* is not available", RuntimeWarning),  # no validation in this epoch
    (r"There is a wandb run already in progress", UserWarning),  # the one that the logger has begun
)
"""How the messages of warnings begin that are left out, and their category."""
PRINTED = (
    r"wandb: W&B syncing is set to `offline`",  # a line of ours says where the run is, and how to upload it
    r"wandb: Run data is saved locally in ",
    r"wandb: View this run in the terminal with ",
)
"""How lines begin that are printed to standard error and left out."""


@contextmanager
def without_foreign_lines() -> Iterator[None]:
    """Context manager: the lines of `LOG_LINES`, `WARNINGS` and `PRINTED` are left out, every other one stays.

    What is logged stays without the values of credentials, whichever library repeats one.
    """
    filters = {name: _filter(messages) for name, messages in LOG_LINES.items()}
    scrub, handlers = _WithoutCredentials(), list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        for message, category in WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        for name, leave_out in filters.items():
            logging.getLogger(name).addFilter(leave_out)
        for handler in handlers:
            handler.addFilter(scrub)
        try:
            with redirect_stderr(RewrittenStream(sys.stderr, _without_printed)):  # type: ignore[type-var]
                yield
        finally:
            for handler in handlers:
                handler.removeFilter(scrub)
            for name, leave_out in filters.items():
                logging.getLogger(name).removeFilter(leave_out)


class _WithoutCredentials(logging.Filter):
    """Let every line pass, without the values of credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_credentials(record.getMessage()), ()
        return True


def print_lightning_lines_once() -> None:
    """Remove the handler that Lightning gives its logger: where Hydra has configured logging, its lines stand twice."""
    if logging.getLogger().handlers:
        logging.getLogger("lightning").handlers.clear()


def _without_printed(text: str) -> str:
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    return "" if re.match("|".join(PRINTED), plain) else text


def _filter(messages: tuple[str, ...]) -> logging.Filter:
    pattern = re.compile("|".join(messages))

    class LeaveOut(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return pattern.match(record.getMessage()) is None

    return LeaveOut()
