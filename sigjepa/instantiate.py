"""Objects from config nodes: only from allowed packages, and with every key checked against the signature."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra.utils
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from sigjepa.errors import SigjepaError, nearest_name

ALLOWED_TARGETS = ("sigjepa.", "torch.nn.", "torch.optim.", "lightning.")
"""Packages that `_target_` may name; instantiation can call anything importable, a config file must not."""

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


RUN_KEYS = (
    *("name", "seed", "resume", "allowed_targets", "size", "paths", "baseline"),
    *("corpus", "teacher", "judge", "negatives", "draw", "data"),
    *("model", "loss", "optimizer", "scheduler", "trainer", "callbacks", "logger"),
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
    prefixes = (*ALLOWED_TARGETS, *allowed_targets)
    for target in _targets(container):
        _check_target(target, prefixes)
    if container is None:
        return None
    return hydra.utils.instantiate(container, _convert_="all", **arguments)


def _targets(container: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(container, Mapping):
        if "_target_" in container:
            yield container
        for value in container.values():
            yield from _targets(value)
    elif isinstance(container, list):
        for value in container:
            yield from _targets(value)


def _check_target(node: Mapping[str, Any], prefixes: Sequence[str]) -> None:
    name = str(node["_target_"])
    if not name.startswith(tuple(prefixes)):
        raise SigjepaError(
            f"The configuration asks for '{name}', which is outside the allowed packages ({', '.join(prefixes)}). "
            "If it is your own code, add its package to allowed_targets, e.g. 'allowed_targets=[my_package.]'."
        )
    try:
        target = hydra.utils.get_object(name)
    except (ImportError, AttributeError) as error:
        raise SigjepaError(f"The configuration asks for '{name}', which can't be imported: {error}") from error
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in node:
        if key not in HYDRA_KEYS and key not in parameters:
            raise SigjepaError(f"{name} takes no '{key}'.{nearest_name(str(key), parameters)}")


def check_keys(config: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SigjepaError for a top-level key that nothing reads, as a misspelt one in an experiment file would be."""
    for key in config:
        if key not in known:
            raise SigjepaError(f"The configuration has a key '{key}' that nothing reads.{nearest_name(key, known)}")
