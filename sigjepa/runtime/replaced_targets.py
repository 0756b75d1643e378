"""A `_target_` that is replaced: another class takes over the settings that it shares with the one before."""

import functools
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from sigjepa.runtime.config_files import composition_of, config_directory, nodes_at
from sigjepa.runtime.instantiate import HYDRA_KEYS, find_target, parameters_of

log = logging.getLogger(__name__)

LATE_GROUPS = ("experiment", "sweep")
"""The groups of ours whose files count after those that choose a class."""


def drop_keys_of_replaced_targets(config: DictConfig, hydra: DictConfig) -> None:
    """Remove from every node whose `_target_` a file or an override replaces what only the target before took.

    `optimizer._target_=torch.optim.SGD` keeps `lr` and drops `betas`; a key that is given beside the new target or
    after it stays, so that one which it does not take is refused like any other. A warning names what is removed.
    config: as composed, changed in place; hydra: its node of Hydra. Raises SigjepaError for a target that is not
    allowed or can't be imported, and what `composition_of` raises.
    """
    overrides = [*hydra.overrides.hydra, *hydra.overrides.task]
    ours = config_directory().resolve()
    sources = hydra.runtime.config_sources
    strangers = any(source.schema == "file" and Path(source.path).resolve() != ours for source in sources)
    chosen = re.findall(r"[\w-]+", " ".join(str(hydra.runtime.choices.get(group)) for group in LATE_GROUPS))
    if not (strangers or not _replacing().isdisjoint(chosen) or any("_target_" in word for word in overrides)):
        return  # which is known without looking for the files
    raw: Any = OmegaConf.to_container(config)
    values = {key for key, value in raw.items() if value is not None and not isinstance(value, dict)}
    choices = [word for word in overrides if word.partition("=")[0] not in values]  # a seed chooses no file
    files = composition_of(hydra.job.config_name, tuple(choices)).files
    nodes = [node for file in files for node in file.nodes()] + list(_given(overrides))
    for place, earlier in keys_of_replaced(nodes).items():
        node = OmegaConf.select(config, place)
        if not isinstance(node, DictConfig) or "_target_" not in node:
            continue
        parameters = parameters_of(find_target(node._target_, OmegaConf.select(config, "allowed_targets", default=[])))
        if parameters is None:
            continue
        left_out = sorted((earlier & set(map(str, node))) - HYDRA_KEYS - set(parameters))
        with open_dict(node):
            for key in left_out:
                del node[key]
        if left_out:
            _tell_once(place, ", ".join(left_out), str(node._target_))


def keys_of_replaced(nodes: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, set[str]]:
    """Return, for each place whose `_target_` is replaced, the keys that were given before and not again after it.

    nodes: place and content, in the order in which they count.
    """
    targets: dict[str, Any] = {}
    known: dict[str, set[str]] = {}
    replaced: dict[str, set[str]] = {}
    for place, node in nodes:
        keys = known.setdefault(place, set())
        target = node.get("_target_")
        if target is not None and targets.setdefault(place, target) != target:
            targets[place] = target
            replaced.setdefault(place, set()).update(keys)
        keys |= set(map(str, node))
        if place in replaced:
            replaced[place] -= set(map(str, node))
    return replaced


def _given(overrides: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the nodes that overrides give, those of `_target_` first: a key beside it may stand before it."""
    nodes: list[tuple[str, Mapping[str, Any]]] = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_delete() or override.is_sweep_override():
            continue
        nodes += nodes_at(override.package or override.key_or_group.replace("/", "."), override.value())
    return sorted(nodes, key=lambda node: "_target_" not in node[1])


@functools.cache
def _replacing() -> frozenset[str]:
    """Return the experiments and sweeps of a checkout that name a class, and those that build on one of them."""
    paths = [path for group in LATE_GROUPS for path in (config_directory() / group).glob("*.yaml")]
    words = {path.stem: set(re.findall(r"[\w-]+", path.read_text(encoding="utf-8"))) for path in paths}
    found = {"_target_"}
    while further := {name for name in words if words[name] & found} - found:
        found |= further
    return frozenset(found)


@functools.cache
def _tell_once(place: str, keys: str, target: str) -> None:
    log.warning("%s does not take these settings of %s, which are left out: %s", target, place, keys)
