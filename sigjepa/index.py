"""Build an index of bodies: `python -m sigjepa.index 'corpus.source.paths=[my_repo]' student=run output=my_index`."""

import time
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import check_keys, instantiate, plain

if TYPE_CHECKING:
    from sigjepa.corpus.stage import CorpusStage
    from sigjepa.serving.functions import FunctionsStage

STUDENT_KEYS = ("student", "teacher", "check_teacher", "device", "allowed_targets")
KEYS = (*STUDENT_KEYS, "output", "corpus", "size", "executor", "paths")


def index(config: DictConfig) -> None:
    """Build the index of a source's functions, or bring it up to date, and say what it holds."""
    from sigjepa.serving.code_search import build_index
    from sigjepa.serving.student import Student
    from sigjepa.serving.student_files import find_student

    started = time.perf_counter()
    resolved = plain(config)
    check_keys(resolved, KEYS)
    allowed = resolved["allowed_targets"]
    stage = functions_stage(instantiate(config.corpus, allowed))
    folder = find_student(resolved["student"])
    student = Student.from_pretrained(folder, **student_options(resolved))
    output = Path(resolved["output"])
    search = build_index(output, stage, student, folder, instantiate(config.executor, allowed))
    facts = search.index.manifest.facts
    print(
        f"{facts['functions']:,} functions of {search.functions.manifest.facts['files']:,} files in {output}, "
        f"{facts['encoded']:,} of them encoded anew ({time.perf_counter() - started:.0f} s)"
    )


def student_options(resolved: dict[str, Any]) -> dict[str, Any]:
    """Return what `Student.from_pretrained` is given besides the folder."""
    return {name: resolved[name] for name in STUDENT_KEYS if name != "student"}


def functions_stage(corpus: "CorpusStage") -> "FunctionsStage":
    """Return the stage that collects all functions of a corpus' source.

    Raises SigjepaError for a setting that leaves some of them out or divides them: an index has no use of it.
    """
    from sigjepa.serving.functions import FunctionsStage

    arguments = {each.name for each in fields(FunctionsStage)}
    for each in fields(corpus):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if each.name not in arguments and getattr(corpus, each.name) != default:
            raise SigjepaError(
                f"corpus.{each.name}: an index has all functions of its source, undivided; leave it out."
            )
    return FunctionsStage(**{name: getattr(corpus, name) for name in arguments})


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("index", lambda: hydra_job("index", index, ["torch"]))


if __name__ == "__main__":
    main()
