"""Verify where something came from: `python -m sigjepa.provenance multirun/<sweep>/<job>/checkpoints/best.ckpt`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import plain


def provenance(config: DictConfig) -> None:
    """Print the chain from `path` back to source files, with every digest compared; ends with 1 unless it holds."""
    from sigjepa.reporting.lineage_text import lineage_text
    from sigjepa.training.run_lineage import lineage

    resolved = plain(config)
    link = lineage(Path(resolved["path"]), Path(resolved["data_dir"]) if resolved["data_dir"] else None)
    holds = link.holds()
    if resolved["json"]:
        print(json.dumps({"holds": holds, "counts": dict(link.counts()), "chain": asdict(link)}, indent=2))
    else:
        print(lineage_text(link))
    sys.exit(0 if holds else 1)


def main() -> None:
    """Run the command of `sys.argv`; a word without a key is the path."""
    flags = {"--json": "json=true"}
    run_command("provenance", lambda: hydra_job("provenance", provenance, ["torch"]), flags=flags, positional="path")


if __name__ == "__main__":
    main()
