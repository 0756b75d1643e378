"""Where something came from, verified: `python -m sigjepa.provenance multirun/<sweep>/<job>/checkpoints/best.ckpt`.

Walks from a checkpoint, a run directory, an artifact or a file in one back to the source files, and compares every
digest on the way. Ends with 0 only if nothing is changed or missing. Source files that are no longer where they were
read are told apart as gone.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sigjepa.errors import SigjepaError


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the chain of `path`; 0 if it holds."""
    parser = argparse.ArgumentParser(
        prog="python -m sigjepa.provenance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="a checkpoint, a run directory, an artifact folder, or a file in one")
    parser.add_argument("--json", action="store_true", help="the chain as JSON")
    parser.add_argument("--data-dir", type=Path, help="where the artifacts are, if they were moved")
    options = parser.parse_args(arguments)
    from sigjepa.lineage.render import text_of  # noqa: PLC0415
    from sigjepa.lineage.resolve_path import lineage  # noqa: PLC0415 - so that --help is quick

    try:
        link = lineage(options.path, options.data_dir)
    except SigjepaError as error:
        sys.exit(f"sigjepa: {error}")
    holds = link.holds()
    if options.json:
        print(json.dumps({"holds": holds, "counts": dict(link.counts()), "chain": asdict(link)}, indent=2))
    else:
        print(text_of(link))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
