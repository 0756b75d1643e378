"""How long the baselines of a pool take and how much memory, against the fusion by whole score matrices.

    python benchmarks/baselines.py
    python benchmarks/baselines.py --sizes 1000 2000 --whole-up-to 1000

Each baseline is measured in a process of its own, on val and test pools of random 384-d embeddings and of texts whose
words are as frequent as Zipf's law has it. Memory is the peak beyond what the process held before.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from process_memory import forget_peak, memory_kib

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.evaluation.baselines import BASELINES, FUSION_WEIGHTS
from sigjepa.evaluation.lexical import bm25_scorer
from sigjepa.evaluation.pools import Pool, Pools
from sigjepa.evaluation.ranks import cosine_scores, score_ranks
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json
from sigjepa.teacher.normalize import fit_center

DIMENSION, TRAIN, BODY_WORDS, SIGNATURE_WORDS = 384, 2000, 40, 6
WHOLE = "fusion by whole matrices"
HALVES = ("signature_pooled", "body_pooled")


def make_pools(size: int, seed: int = 0) -> dict[str, Pool]:
    """Pools whose signatures share some words and directions with their bodies."""
    choice, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    vocabulary = np.array([f"{a}{b}{c}" for a in "bdfgkl" for b in ("ar", "en", "ist", "o") for c in "mnrstvz"])

    def pool(split: str, count: int) -> Pool:
        drawn = (choice.zipf(1.3, size=(count, BODY_WORDS)) - 1) % len(vocabulary)
        bodies = [" ".join(words) for words in vocabulary[drawn]]
        signatures = [f"def {'_'.join(words)}(self):" for words in vocabulary[drawn[:, :SIGNATURE_WORDS]]]
        vectors = torch.randn(count, DIMENSION, generator=generator)
        noisy = vectors + 4 * torch.randn(count, DIMENSION, generator=generator)
        terms = extract_terms(signatures, bodies)[0]
        return Pool(np.arange(count), signatures, bodies, noisy, vectors, [split] * count, terms)

    return {split: pool(split, TRAIN if split == "train" else size) for split in ("train", *HELD_OUT)}


def whole_matrices(pools: Pools) -> tuple[float, float]:
    """Weight and test Rank@10 of the fusion by matrices of all scores, as they were once computed."""

    def standardized(scores: torch.Tensor) -> torch.Tensor:
        return (scores - scores.mean(dim=1, keepdim=True)) / scores.std(dim=1, correction=0, keepdim=True).clamp(1e-7)

    lexical = {
        split: standardized(
            bm25_scorer(pools[split].signatures, pools[split].bodies)(torch.arange(len(pools[split].ids)))
        )
        for split in HELD_OUT
    }
    center_signature, center_body = (fit_center(getattr(pools["train"], half)) for half in HALVES)
    semantic = {
        split: standardized(
            cosine_scores(center_signature(pools[split].signature_pooled), center_body(pools[split].body_pooled))
        )
        for split in HELD_OUT
    }

    def metrics(split: str, weight: float) -> tuple[float, float]:
        ranks = score_ranks(weight * lexical[split] + (1 - weight) * semantic[split])
        return float(ranks.recall_at(10).mean()), float(ranks.reciprocal().mean())

    weight = max(FUSION_WEIGHTS, key=lambda weight: metrics("val", weight))
    return weight, metrics("test", weight)[0]


def measure(name: str, sizes: Sequence[int], threads: int) -> dict[int, tuple[float, float]]:
    """Seconds and MiB of one baseline on pools of each of `sizes`, from the smallest on."""
    torch.set_num_threads(threads)
    run: Callable[[Pools], object] = whole_matrices if name == WHOLE else BASELINES[name].measure
    run(make_pools(50))  # imports and first calls
    measured = {}
    for size in sorted(sizes):
        pools = make_pools(size)
        forget_peak()
        before = memory_kib("VmRSS")
        started = time.perf_counter()
        run(pools)
        seconds = time.perf_counter() - started
        measured[size] = (seconds, max(0, memory_kib("VmHWM") - before) / 1024)
    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every baseline at every size, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000], help="of the val and test pool"
    )
    parser.add_argument("--whole-up-to", type=int, default=4000, help="largest pool for whole matrices (default 4000)")
    parser.add_argument("--names", nargs="+", default=[*BASELINES, WHOLE], help="of what is measured (default all)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/baselines.json"))
    options = parser.parse_args(arguments)
    results = {}
    for name in options.names:
        sizes = [size for size in options.sizes if name != WHOLE or size <= options.whole_up_to]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            results[name] = alone.submit(measure, name, sizes, options.threads).result()
    write_json(options.output, {"seconds_and_mib": results, "load_average": os.getloadavg()[0]})
    rows = [
        [
            name,
            *(
                f"{by_size[size][0]:.1f} s, {by_size[size][1]:,.0f} MiB" if size in by_size else ""
                for size in options.sizes
            ),
        ]
        for name, by_size in results.items()
    ]
    print(markdown_table(["baseline", *(f"{size:,}" for size in options.sizes)], rows))
    for name, by_size in results.items():
        for before, after in pairwise(sorted(by_size)):
            growth = by_size[after][0] / max(by_size[before][0], 1e-9)
            print(f"{name}, {before:,} to {after:,}: {growth:.1f} x the time")


if __name__ == "__main__":
    sys.exit(main())
