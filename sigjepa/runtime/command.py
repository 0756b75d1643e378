"""The start of a command: its words, `--help` and `--version`, and mistakes that are answered in one line."""

import functools
import logging
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import sigjepa
from sigjepa.errors import SigjepaError
from sigjepa.runtime.config_description import check_overrides, describe_config, no_key, no_option
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.foreign_lines import without_foreign_lines
from sigjepa.runtime.help import help_text
from sigjepa.runtime.imports import import_libraries
from sigjepa.runtime.job_overrides import run_hydra
from sigjepa.runtime.processes import for_this_process
from sigjepa.runtime.replaced_targets import drop_keys_of_replaced_targets
from sigjepa.runtime.terminal import labeled_lines
from sigjepa.runtime.words import FLAGS, hydra_words, parse_words, refuse_without_assertions
from sigjepa.store.credentials import refuse_credentials, refuse_in_config, without_credentials
from sigjepa.store.files import DISK_ERRORS, errno_of

log = logging.getLogger(__name__)


def run_command(
    name: str,
    start: Callable[[], Any],
    *,
    config_name: str | None = None,
    flags: Mapping[str, str] = FLAGS,
    positional: str | None = None,
    about: str | None = None,
) -> None:
    """Run `start` with the words of `sys.argv` checked; answer `--help` and `--version`; exit with 1 and a line.

    name: as in `python -m sigjepa.<name>`. config_name: whose keys the words are, the command's by default. flags:
    options of this command and the words that they stand for. positional: the key of a word without `=`.
    about: what the command does, where the head of the config says it of another.
    """
    config_name = config_name or name
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise to here instead of printing and exiting inside Hydra
    sys.excepthook = show_defect
    with mistakes_in_one_line(config_name):
        refuse_credentials(sys.argv[1:])  # before Hydra keeps the command line in its folder
        refuse_without_assertions(sys.argv[1:])
        sys.argv[1:] = [word for given in sys.argv[1:] for word in hydra_words(given, flags, positional)]
        options, overrides = parse_words(sys.argv[1:], flags)
        folders = [Path(options.config_dir)] if options.config_dir else []
        if "--version" in sys.argv:
            print(f"sigjepa {sigjepa.__version__}")
        elif options.help:
            description = describe_config(options.config_name or config_name, overrides, folders)
            print(help_text(name, description, flags, about))
            sys.stdout.flush()  # here, where a reader that has gone away is known
        else:
            check_overrides(describe_config(options.config_name or config_name, overrides, folders), overrides)
            sys.argv[1:] = for_this_process(sys.argv[1:], os.environ)
            start()


def hydra_job(config_name: str, work: Callable[[DictConfig], Any], libraries: Sequence[str] = ()) -> None:
    """Have Hydra compose `config_name` with the words of `sys.argv` and call `work` with it, once for each job.

    libraries: large ones that `work` needs in any case, imported before.
    """
    words, process = list(sys.argv), os.getpid()

    @functools.wraps(work)
    def job(config: DictConfig) -> Any:
        from sigjepa.runtime.status import visible  # noqa: PLC0415 - tqdm is slow to import

        sys.argv = list(words)  # records name what a person typed, not how a launcher started its job
        settings: Any = HydraConfig.get()
        sweeps = settings.mode == RunMode.MULTIRUN
        label = job_label(settings.job.num, config) if sweeps and os.getpid() != process else ""
        if not sweeps and (sweep := settings.runtime.choices.get("sweep")):
            log.warning("The jobs of sweep=%s start with -m only; without it, this is a single run.", sweep)
        # of a job that runs alone Hydra would announce the error in a line of its own; a sweep needs it for its record
        with nullcontext() if sweeps else mistakes_in_one_line(config_name):
            refuse_composed_credentials(config)
            drop_keys_of_replaced_targets(config, settings)
            with labeled_lines(label), without_foreign_lines(), visible(own_folder(settings)):
                import_libraries(libraries)
                return work(config)

    run_hydra(hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=config_name)(job))


def job_label(number: int, config: DictConfig) -> str:
    """Return what begins the lines of a job that runs beside others: its number in the sweep, name, fold and seed."""
    name = textwrap.shorten(str(config.get("name", "")), 40, placeholder="…")
    parts = [f"{key} {config[key]}" for key in ("fold", "seed") if config.get(key) is not None]
    return " ".join(filter(None, [f"#{number}", name, *parts]))


@contextmanager
def mistakes_in_one_line(config_name: str) -> Iterator[None]:
    """Context manager: end the process with 1 and one line for an error that `MESSAGES` knows."""
    try:
        yield
    except BrokenPipeError:  # who read our output has seen enough, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        sys.exit(1)
    except Exception as error:
        message = message_of(error, config_name, sys.argv[1:])
        if message is None:
            raise
        sys.exit(f"sigjepa: {without_credentials(message)}")


def show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error that nobody caught, without the values of credentials: it goes into reports."""
    print(without_credentials("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def message_of(error: Exception, config_name: str, words: Sequence[str]) -> str | None:
    """Return the line that tells a user of an error; None for a defect, which keeps its traceback."""
    for kind, explanation in MESSAGES.items():  # in this order: Hydra's MissingConfigException is an OSError, too
        if isinstance(error, kind):
            return explanation(error, config_name, words)
    return None


def explain(error: Exception, config_name: str, words: Sequence[str]) -> str:
    """Return Hydra's message in one line, with the nearest key or option added."""
    message = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        return no_option(str(error.missing_cfg_file), error.options)
    if missing := re.search(r"Could not load '([^']+)/([^'/]+)'", message):  # an option inside a list has no .options
        group, option = missing.groups()
        if group == "hydra/launcher":  # one of ours builds on a plugin's
            return f"There is no '{group}/{option}': it needs pip install 'sigjepa[launchers]'."
        return no_option(f"{group}/{option}", (path.stem for path in (config_directory() / group).glob("*.yaml")))
    if match := re.search(r"[Cc]ould not override '([^'@]+)[^']*'", message):
        others = [word for word in words if "=" in word and word.lstrip("+~").split("=")[0] != match.group(1)]
        try:
            description = describe_config(config_name, others)
        except (HydraException, OmegaConfBaseException):
            description = describe_config(config_name, [])
        return no_key(match.group(1), description)
    return without_credentials(" ".join(message.split()))


def _of_the_disk(error: Exception, config_name: str, words: Sequence[str]) -> str | None:
    number = errno_of(error) if isinstance(error, OSError) else None
    if not isinstance(error, OSError) or number not in DISK_ERRORS:
        return None
    place = error.filename or "A file"
    return f"{place} can't be read or written: {os.strerror(number)}. {DISK_ERRORS[number]}."


MESSAGES: dict[type[Exception], Callable[[Exception, str, Sequence[str]], str | None]] = {
    SigjepaError: lambda error, config_name, words: str(error),
    HydraException: explain,
    OmegaConfBaseException: explain,
    OSError: _of_the_disk,
}
"""How the line is found for each type of error that a user can mend."""


def own_folder(hydra_config: HydraConf) -> Path | None:
    """Return the folder that Hydra gives a command; None for one that leaves nothing of Hydra's behind."""
    return Path(hydra_config.runtime.output_dir) if hydra_config.output_subdir is not None else None


def refuse_composed_credentials(config: DictConfig) -> None:
    """Raise SigjepaError for a key or password that a config file or an interpolation brought.

    By then Hydra has copied the config into the folders of run and sweep: those copies are removed.
    """
    try:
        refuse_in_config(OmegaConf.to_container(config))
        with suppress(OmegaConfBaseException):  # the command says which value can't be resolved
            refuse_in_config(OmegaConf.to_container(config, resolve=True))
    except SigjepaError:
        if HydraConfig.initialized():
            settings = HydraConfig.get()
            copies = Path(settings.runtime.output_dir) / (settings.output_subdir or "")
            multirun = Path(settings.sweep.dir) / "multirun.yaml"
            for path in [*copies.glob("*.yaml"), *([multirun] if settings.mode == RunMode.MULTIRUN else [])]:
                path.unlink(missing_ok=True)
        raise
