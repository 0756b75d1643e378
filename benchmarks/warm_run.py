"""CPU time of a run whose artifacts are there, to its first step and as a whole, beside the sum of its stages.

    python benchmarks/warm_run.py
    python benchmarks/warm_run.py --words data=quick --repeats 5

Each is a process of its own, turn about. The sum of the stages is one process that imports what training needs, opens
the same data, trains an epoch in a bare loop, ranks val and test once, and writes the weights. Nothing large is
imported here before a command does.
"""

import argparse
import atexit
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from child_processes import ENVIRONMENT, cpu_seconds
from tiny_runs import WORDS, train

from sigjepa.store.files import write_json


def run(words: list[str], output: Path) -> None:
    """Train as the command does, and note when the first step begins and when all is done."""
    first_step = output.with_suffix(".first_step.json")
    noting = f"+callbacks.first_step={{_target_: first_step.FirstStep, output: '{first_step}'}}"

    def note() -> None:
        whole = time.process_time()
        output.write_text(json.dumps({"first_step": json.loads(first_step.read_text()), "whole": whole}))

    atexit.register(note)
    sys.argv = ["train", *words, noting, "allowed_targets=[first_step.]"]

    from sigjepa.train import main as command

    command()


def stages(words: list[str], output: Path) -> None:
    """Do what a run is for, and nothing else."""
    import torch
    from training_step import bare_epoch, batches_of

    from sigjepa.evaluation.ranks import pool_ranks
    from sigjepa.pipeline import pipeline_of
    from sigjepa.runtime.compose import compose
    from sigjepa.runtime.instantiate import instantiate

    config = compose(words, folder=output.parent)
    data = pipeline_of(config).get()
    first_step = time.process_time()
    weights = bare_epoch(config, batches_of(config, data), data.shards.dim).value
    model = instantiate(config.model, teacher_dim=data.shards.dim).eval()
    datamodule = instantiate(config.data, data=data)
    for split in ("val", "test"):
        with torch.no_grad():
            pairs = [
                (model(batch.signature_states, batch.signature_mask).pooled, batch.body_pooled)
                for batch in datamodule.eval_dataloader(split)
            ]
        pool_ranks(*(torch.cat(half) for half in zip(*pairs, strict=True)))
    torch.save(weights, output.with_suffix(".pt"))
    output.write_text(json.dumps({"first_step": first_step, "whole": time.process_time()}))


KINDS = {"sigjepa": run, "sum of the stages": stages}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", nargs="*", default=[], help="further words of the run, e.g. data=quick")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each, turn about (default: 3)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/warm_run.json"))
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.kind:
        KINDS[options.kind](options.words, options.output)
        return
    from paired import spread_of

    from sigjepa.reporting.tables import markdown_table

    figures: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder / "warm-up", *options.words)  # what is missing is built
        for repeat in range(options.repeats):
            for kind in list(KINDS)[:: -1 if repeat % 2 else 1]:
                words = [*WORDS, *options.words]
                if kind == "sigjepa":
                    words.append(f"hydra.run.dir={folder / f'run-{repeat}'}")
                output = folder / f"{kind}-{repeat}.json"
                call = [sys.executable, __file__, "--kind", kind, "--output", str(output), "--words", *words]
                subprocess.run(call, check=True, capture_output=True, env=ENVIRONMENT)
                figures[kind].append(json.loads(output.read_text()))
    imports = cpu_seconds(["-c", "import torch, lightning"])
    ours, theirs = figures.values()
    record = {
        "seconds": {
            kind: {key: statistics.median(one[key] for one in each) for key in each[0]}
            for kind, each in figures.items()
        },
        "times": {"sum of the stages": spread_of([a["whole"] / b["whole"] for a, b in zip(ours, theirs, strict=True)])},
        "imports": imports,
        "first_step": spread_of([one["first_step"] for one in ours]),
        "load_average": os.getloadavg()[0],
    }
    write_json(options.output, record)
    rows = [[kind, *(f"{one[key]:.1f}" for key in ("first_step", "whole"))] for kind, one in record["seconds"].items()]
    print(markdown_table(["CPU seconds", "to the first step", "whole"], rows))
    print(f"\nthe imports of torch and lightning alone: {imports:.1f}")
    print(f"{record['times']['sum of the stages']['median']:.2f} of the sum of the stages")


if __name__ == "__main__":
    main()
