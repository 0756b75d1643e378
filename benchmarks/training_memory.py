"""Peak memory of training and of the whitened baseline at the published size, beyond what the imports hold.

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py --functions 2000 --dim 64

Shards of made-up means of 2048-d and of two token states a function are written to a temporary folder, 1.6 GB of it,
and opened as a run opens them. Training is some steps of Exp 1.4 with the published student and a whole pass over val.
Counted is the memory that is the process's own: pages of the shards' maps, which the system takes back at will, are
not.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from made_up_data import SHARES, made_up_corpus
from process_memory import OwnMemory
from safetensors.torch import save_file
from training_step import config_of, module_of

from sigjepa.data.training_data import TrainingData
from sigjepa.evaluation.baselines import BASELINES
from sigjepa.evaluation.pools import read_pools
from sigjepa.runtime.instantiate import instantiate
from sigjepa.store.files import write_json
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store
from sigjepa.teacher.shards import TeacherShards

PER_SHARD, TOKENS, STEPS = 1024, 2, 3


def write_shards(folder: Path, functions: int, dim: int) -> None:
    """Write the files that `ShardStage` would."""
    for first in range(0, functions, PER_SHARD):
        own = min(PER_SHARD, functions - first)
        generator = torch.Generator().manual_seed(first)
        tensors = {f"{half}_pooled": torch.randn(own, dim, generator=generator) for half in ("signature", "body")}
        tensors |= {f"{half}_lengths": torch.full((own,), TOKENS) for half in ("signature", "body")}
        tensors["signature_states"] = torch.randn(own * TOKENS, dim, generator=generator).half()
        tensors["signature_offsets"] = torch.arange(own + 1) * TOKENS
        save_file(tensors, folder / f"{first}.safetensors")


def open_data(folder: Path, functions: int, dim: int) -> TrainingData:
    """Return the shards with a corpus in which no two texts are equal."""
    shards = [{"file": f"{first}.safetensors", "first_id": first} for first in range(0, functions, PER_SHARD)]
    facts = {"dim": dim, "functions": functions, "shards": shards}
    manifest = Manifest(folder, "teacher", "made-up", {"body_states": False}, "made-up", facts, {})
    ids = np.random.default_rng(0).permutation(functions)
    ends = np.cumsum([round(share * functions) for share in SHARES.values()])[:-1]
    splits = dict(zip(SHARES, map(np.sort, np.split(ids, ends)), strict=True))
    texts = [str(i) for i in range(functions)]
    corpus = made_up_corpus(splits.__getitem__, lambda name: texts)
    return TrainingData(corpus, TeacherShards(manifest), cast(Store, None))


def training(data: TrainingData) -> None:
    """Train some steps, and rank val."""
    with tempfile.TemporaryDirectory() as folder:
        limits = [f"+trainer.limit_train_batches={STEPS}", "trainer.limit_val_batches=1.0"]
        config = config_of(["experiment=exp1_4", "model=sig_predictor"], folder, *limits)
        trainer: lightning.Trainer = instantiate(config.trainer, logger=False)
        trainer.fit(module_of(config, data), datamodule=instantiate(config.data, data=data))


def whitened(data: TrainingData) -> None:
    """Measure the baseline whose whitening is fitted on train."""
    BASELINES["zero_shot_whitened"].measure(read_pools(data.corpus, data.shards))


PARTS: dict[str, Callable[[TrainingData], None]] = {"training": training, "whitened baseline": whitened}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=50_835, help="of the corpus (default: 50835)")
    parser.add_argument("--dim", type=int, default=2048, help="size of a state (default: 2048)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/training_memory.json"))
    parser.add_argument("--part", nargs=2, metavar=("PART", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.part:
        measure(*options.part, options.functions, options.dim)
        return
    record: dict[str, Any] = {"functions": options.functions, "dim": options.dim}
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), options.functions, options.dim)
        for part in PARTS:
            sizes = ["--functions", str(options.functions), "--dim", str(options.dim)]
            call = [sys.executable, __file__, *sizes, "--part", part, folder]
            done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
            record[part] = json.loads(done.stdout.splitlines()[-1])
            print(f"{part}: {record[part]['peak_mib']:,.0f} MiB beyond the imports")
    write_json(options.output, record)


def measure(part: str, folder: str, functions: int, dim: int) -> None:
    """Print the most MiB of a part beyond what the process holds before it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with OwnMemory() as memory:
        PARTS[part](open_data(Path(folder), functions, dim))
    print(json.dumps({"peak_mib": memory.peak_mib}))


if __name__ == "__main__":
    main()
