"""Objects from config nodes: only from allowed packages, and with every key checked against the signature."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra.utils
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from sigjepa.errors import SigjepaError, nearest_name

ALLOWED_TARGETS = (
    *("sigjepa.corpus.", "sigjepa.teacher.", "sigjepa.negatives.", "sigjepa.data."),
    *("sigjepa.models.", "sigjepa.losses.", "sigjepa.evaluation.metrics.", "sigjepa.training."),
    *("torch.nn.", "torch.optim.", "lightning.Trainer", "lightning.pytorch.trainer.trainer.Trainer"),
    *("lightning.pytorch.callbacks.", "lightning.pytorch.loggers.", "lightning.pytorch.plugins."),
    *("lightning.pytorch.profilers.", "lightning.pytorch.strategies."),
)
"""Packages whose classes `_target_` may name; instantiation can call anything importable, a config file must not."""
ALLOWED_FUNCTIONS = ("sigjepa.training.loggers.wandb_logger", "sigjepa.training.optimizer.warmup_cosine")
"""The functions in them that make a component: others may write files or start processes."""

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


RUN_KEYS = (
    *("name", "seed", "monitor", "resume", "allowed_targets", "size", "paths", "baseline"),
    *("corpus", "teacher", "judge", "negatives", "draw", "data"),
    *("model", "loss", "optimizer", "scheduler", "trainer", "metrics", "callbacks", "logger"),
)
"""The top-level keys of a run's config."""


def plain(node: Any) -> Any:
    """A config node as resolved plain dicts, lists and scalars; raises SigjepaError for a value that is not given."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except (MissingMandatoryValue, InterpolationResolutionError) as error:
        key = getattr(error, "full_key", None) or "a key"
        reason = str(error).splitlines()[0]
        raise SigjepaError(f"The configuration has no value for '{key}': give {key}=... ({reason})") from None


def instantiate(node: Any, allowed_targets: Sequence[str] = (), **arguments: Any) -> Any:
    """Build what a config node describes, nested nodes first; None and plain values pass through.

    allowed_targets: further prefixes that `_target_` may name, for a user's own code. arguments: given to the
    outermost target in addition. Raises SigjepaError for a target outside the allow-list, one that does not exist, or
    a key that the target does not take.
    """
    container = plain(node)
    for string in _strings(container):
        if "${" in string:  # Hydra would resolve it once more, after the targets have been looked at
            raise SigjepaError(f"The configuration has an escaped interpolation, '{string}', which is not resolved.")
    check_targets(container, allowed_targets)
    if container is None:
        return None
    return hydra.utils.instantiate(container, _convert_="all", **arguments)


def check_targets(container: Any, allowed_targets: Sequence[str] = ()) -> None:
    """Raise SigjepaError for a target in plain nodes that `instantiate` would refuse."""
    for target in _targets(container):
        _check_target(target, allowed_targets)


def _targets(container: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(container, Mapping):
        if "_target_" in container:
            yield container
        for value in container.values():
            yield from _targets(value)
    elif isinstance(container, list):
        for value in container:
            yield from _targets(value)


def _strings(container: Any) -> Iterator[str]:
    if isinstance(container, str):
        yield container
    elif isinstance(container, Mapping):
        for key, value in container.items():
            yield from _strings(key)
            yield from _strings(value)
    elif isinstance(container, list):
        for value in container:
            yield from _strings(value)


def _check_target(node: Mapping[str, Any], allowed_targets: Sequence[str]) -> None:
    name = node["_target_"]
    prefixes = (*ALLOWED_TARGETS, *allowed_targets)
    if not isinstance(name, str) or not name.startswith(prefixes):  # looked at before anything is imported
        raise _outside(name, prefixes)
    try:
        target = hydra.utils.get_object(name)
    except (ImportError, AttributeError) as error:
        raise SigjepaError(f"The configuration asks for '{name}', which can't be imported: {error}") from error
    # modules hold what they import, too: torch.nn.modules.module.functools.partial is none of torch's
    home = f"{getattr(target, '__module__', None)}.{getattr(target, '__qualname__', None)}"
    own = home.startswith(tuple(allowed_targets)) and callable(target)
    if not own and not ((inspect.isclass(target) and home.startswith(ALLOWED_TARGETS)) or home in ALLOWED_FUNCTIONS):
        raise _outside(name if name == home else f"{name} ({home})", prefixes)
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in node:
        if key not in HYDRA_KEYS and key not in parameters:
            raise SigjepaError(f"{name} takes no '{key}'.{nearest_name(str(key), parameters)}")


def _outside(name: Any, prefixes: Sequence[str]) -> SigjepaError:
    return SigjepaError(
        f"The configuration asks for '{name}', which is no component of the allowed packages ({', '.join(prefixes)}). "
        "If it is your own code, add its package to allowed_targets, e.g. 'allowed_targets=[my_package.]'."
    )


def check_keys(config: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SigjepaError for a top-level key that nothing reads, as a misspelt one in an experiment file would be."""
    for key in config:
        if key not in known:
            raise SigjepaError(f"The configuration has a key '{key}' that nothing reads.{nearest_name(key, known)}")
