"""Whether a run does what its settings promise: with the negatives that it needs, and before its training ends."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping

from sigjepa.data.training_data import TrainingData
from sigjepa.errors import SigjepaError

log = logging.getLogger(__name__)

NEGATIVES = {"hard_negatives", "mined_negatives"}


def components_of(
    losses: Mapping[str, Any], nodes: Mapping[str, Any] | None, callbacks: Sequence[Callback]
) -> dict[str, Any]:
    """Return loss terms and callbacks by config key; nodes: the config of the callbacks."""
    named = {f"callbacks.{name}": callback for name, callback in zip(nodes or {}, callbacks, strict=True)}
    return {f"loss.{name}": loss for name, loss in losses.items()} | named


def check_negatives(components: Mapping[str, Any], data: TrainingData) -> None:
    """Raise SigjepaError when components need hard negatives, and no train function has one.

    components: by config key; each says what it needs as `needs`.
    """
    needing = [key for key, component in components.items() if NEGATIVES & set(getattr(component, "needs", ()))]
    negatives = data.hard_negatives
    if needing and (negatives is None or not negatives.coverage(data.corpus.ids("train"))):
        raise SigjepaError(
            f"{' and '.join(needing)} would train without hard negatives: none of the train functions has one. Let "
            "more pairs through negatives.filter, or mend what scores them, negatives.judge; `sigjepa prepare` shows "
            "what became of the pairs."
        )


def warn_of_late_beginnings(components: Mapping[str, Any], max_epochs: int | None) -> None:
    """Warn of components that begin, as they say with `begins`, when training is over, or may be."""
    stopping = [component for component in components.values() if isinstance(component, EarlyStopping)]
    patience = min((callback.patience for callback in stopping), default=math.inf)
    last = math.inf if max_epochs is None or max_epochs < 0 else max_epochs
    for key, component in components.items():
        begins = getattr(component, "begins", 0)
        if begins >= last:
            log.warning(
                "%s never begins in this run: it does in epoch %g, and trainer.max_epochs=%s ends training before. "
                "Whatever it is called, this run trains without it.",
                *(key, begins, max_epochs),
            )
        elif begins > patience:
            log.warning(
                "%s begins in epoch %g, but early stopping may end training after epoch %d; raise "
                "callbacks.early_stopping.patience.",
                *(key, begins, patience),
            )


def never_began(components: Mapping[str, Any], best_epoch: int) -> dict[str, str]:
    """Return, for `summary.json`, what the tested checkpoint has not seen, as `never_began`; nothing if it has all."""
    late = [
        f"{key} begins in epoch {begins:g}, and the tested checkpoint is of epoch {best_epoch}"
        for key, component in components.items()
        if (begins := getattr(component, "begins", 0)) >= best_epoch + 1
    ]
    if not late:
        return {}
    log.warning("This run did not test what it is called: %s.", "; ".join(late))
    return {"never_began": "; ".join(late)}
