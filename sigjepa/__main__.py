"""The console script: `sigjepa train experiment=exp1_4` is `python -m sigjepa.train experiment=exp1_4`."""

import runpy
import sys
from collections.abc import Sequence

from sigjepa import __version__
from sigjepa.errors import nearest_name

COMMANDS = {
    "train": "train a student, select on val, test once; -m sweeps",
    "prepare": "build corpus, teacher shards, hard negatives and baselines alone; repair=true mends a cache",
    "sweep": "list the jobs of a sweep, their steps and states; starts nothing",
    "evaluate": "measure baselines and the teacher's ceiling without a student, or for one run",
    "report": "compare runs: report.md, report.html, figures",
    "dashboard": "create a W&B workspace for a sweep",
    "export": "write a student, or judged pairs and hard negatives in the published form",
    "index": "encode the bodies of a source's functions, for search and serve",
    "search": "find the functions whose bodies fit a signature, and say why",
    "serve": "the same as a page and a JSON API",
    "judge_agreement": "compare two judges, or a judge with hand labels",
    "provenance": "verify where a run, a checkpoint or an artifact came from",
}
"""Every command, a module of this package with a `main`, and what it does."""


def usage() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        ["usage: sigjepa <command> [overrides]", "", *lines, "", "sigjepa <command> --help lists its keys."]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names, as `python -m sigjepa.<command>` with the others would."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0].replace("-", "_") if words else "--help"
    if name in ("__help", "_h", "--help", "help"):
        print(usage())
    elif name in ("__version", "_V", "version"):
        print(f"sigjepa {__version__}")
    elif name not in COMMANDS:
        sys.exit(
            f"sigjepa: There is no command '{words[0]}'.{nearest_name(name, COMMANDS)} Commands: {', '.join(COMMANDS)}."
        )
    else:
        sys.argv = [sys.argv[0], *words[1:]]
        # as __main__, so that processes that Lightning or a launcher start run the same command again
        runpy.run_module(f"sigjepa.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
