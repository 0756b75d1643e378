"""An override of `_target_` alone: another class takes over the settings that it shares with the one before."""

import functools
import logging
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from sigjepa.runtime.instantiate import HYDRA_KEYS, find_target, parameters_of

log = logging.getLogger(__name__)


def drop_keys_of_replaced_targets(config: DictConfig, overrides: Sequence[str]) -> None:
    """Remove from every node whose `_target_` an override replaces what only the target before took.

    `optimizer._target_=torch.optim.SGD` keeps `lr` and drops `betas`; a key that `overrides` give stays, so that one
    which the new target does not take is refused like any other. A warning names what is removed. config: as composed
    with `overrides`, changed in place. Raises SigjepaError for a target that is not allowed or can't be imported.
    """
    parsed = [
        override for override in OverridesParser.create().parse_overrides(list(overrides)) if not override.is_delete()
    ]
    paths = [override.package or override.key_or_group.replace("/", ".") for override in parsed]
    replaced = [path.removesuffix("._target_") for path in paths if path.endswith("._target_")]
    for place in replaced:
        node = OmegaConf.select(config, place)
        if not isinstance(node, DictConfig):
            continue
        allowed = OmegaConf.select(config, "allowed_targets", default=[])
        parameters = parameters_of(find_target(node._target_, allowed))
        if parameters is None:
            continue
        given = {path.removeprefix(f"{place}.").split(".")[0] for path in paths if path.startswith(f"{place}.")}
        left_out = sorted(set(map(str, node)) - HYDRA_KEYS - set(parameters) - given)
        with open_dict(node):
            for key in left_out:
                del node[key]
        if left_out:
            _tell_once(place, ", ".join(left_out), str(node._target_))


@functools.cache
def _tell_once(place: str, keys: str, target: str) -> None:
    log.warning("%s does not take these settings of %s, which are left out: %s", target, place, keys)
