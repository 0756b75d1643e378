"""Checks before a run is judged: the words of a command fit it, and its artifacts give its own figures again."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from torch import Tensor

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metrics, of_split, query_values
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.run import Run
from sigjepa.runtime.config_files import composition_of

COMMAND_KEYS = (
    "run",
    "split",
    "baseline",
    "paths",
    "executor",
    "verify",
    "logger",
    "resume",
    "allowed_targets",
    "hydra",
)
"""Keys that say what is done with a run; all others say how it was trained."""


def refuse_other_settings(run: Run, config: Mapping[str, Any], hydra: DictConfig) -> None:
    """Raise SigjepaError for words that ask for other settings than a run was trained with.

    config: as composed, resolved. hydra: Hydra's node, which knows the words.
    """
    different = [
        f"{place}={_value(run.config, place)}, not {_value(config, place)}"
        for place in places_of_words(hydra)
        if place.partition(".")[0] not in COMMAND_KEYS and _value(run.config, place) != _value(config, place)
    ]
    if different:
        raise SigjepaError(
            f"{run.folder} was trained with {'; '.join(different[:3])}. Leave these words out: run= takes settings and "
            "artifacts from the run."
        )


def _value(config: Any, place: str) -> Any:
    for key in place.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def places_of_words(hydra: DictConfig) -> list[str]:
    """Return the keys that the overrides of a job set, each by itself or by the file of an option."""
    files = composition_of(hydra.job.config_name, [*hydra.overrides.hydra, *hydra.overrides.task]).files
    places: list[str] = []
    for override in OverridesParser.create().parse_overrides(list(hydra.overrides.task)):
        group = override.key_or_group
        of_option = [
            f"{place}.{key}" if place else str(key)
            for file in files
            if file.name.rpartition("/")[0] == group
            for place, node in file.nodes()
            for key, value in node.items()
            if not isinstance(value, Mapping)
        ]
        places += of_option or ([] if override.is_delete() else [override.package or group])
    return list(dict.fromkeys(places))


def check_figures(run: Run, targets: Tensor, metrics: Metrics) -> None:
    """Raise SigjepaError when a run's predictions, ranked among `targets` `[n, D]`, do not give its summary again."""
    for split in HELD_OUT:
        ids, predictions = (torch.from_numpy(array) for array in run.predictions(split))
        if predictions.shape != (len(ids), targets.shape[1]) or not ((ids >= 0) & (ids < len(targets))).all():
            raise SigjepaError(
                f"{run.folder / 'predictions.npz'} holds {list(predictions.shape)} predictions of {split}, and the "
                f"artifacts of the run hold {list(targets.shape)} bodies: they do not belong together. Train it again."
            )
        ranks = pool_ranks(predictions.float(), targets[ids].float())
        for name, value in query_values(ids.numpy(), ranks, of_split(metrics, split)).means().items():
            recorded = run.figure(f"{split}/{name}")
            # another device may rank a pair or two of nearly equal cosines the other way
            if not math.isclose(value, recorded, rel_tol=0.01, abs_tol=2 / len(ids)):
                raise SigjepaError(
                    f"{run.folder} has {split}/{name} {recorded:.4f} in its summary, but its predictions and artifacts "
                    f"give {value:.4f}: one of them is not as it was. `python -m sigjepa.provenance` says which."
                )
