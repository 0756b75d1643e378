"""Mining neighbors: time and memory of `MinedPairsStage`, exact and approximate, beside two peers.

    python benchmarks/mining.py                                                    # 20,000 made-up bodies
    python benchmarks/mining.py --functions 42047 --output benchmarks/results/mining_42047.json
    python benchmarks/mining.py --shards data/teacher/<folder>                     # the bodies of real shards

Each method is a process of its own, and all take turns. `one product` is the limit: all cosines, a block at a time, of
which nothing is kept. `faiss IndexFlatIP` is a bare search that neither scores again, filters, nor writes a file.
`semantic_search` is sentence-transformers'. Memory is the most that a method added to a process that already held the
embeddings and had imported what it needs. Recall is counted here, over all pairs of the exact search. The made-up
bodies come in families, as functions of a library do, so that the mean cosine of the nearest neighbor is 0.7 in 384
dimensions.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from paired import spread_of
from process_memory import memory_kib

from sigjepa.negatives.mining.approximate import HNSW, IVF
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.stage import MinedPairsStage
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store
from sigjepa.teacher.shards import TeacherShards

SEARCHES = {
    "sigjepa exact": Search(exact_up_to=None),
    "sigjepa IVF": Search(exact_up_to=0, beyond=IVF()),
    "sigjepa HNSW": Search(exact_up_to=0, beyond=HNSW()),
}
PEERS = ("one product", "faiss IndexFlatIP", "semantic_search")
BLOCK = 1024
EXACT = "sigjepa exact"


def made_up_bodies(functions: int, dim: int, seed: int = 0) -> np.ndarray:
    """Families of about 8 around topics around a common mean, of half to twice the usual spread, `[n, D]` float32."""
    rng = np.random.default_rng(seed)
    families = max(1, functions // 8)
    topics = rng.normal(size=(max(1, families // 40), dim))
    centres = topics[rng.integers(0, len(topics), families)] + rng.normal(size=(families, dim))
    family = rng.integers(0, families, functions)
    spread = rng.uniform(0.5, 2.0, size=(families, 1))[family]
    bodies = rng.standard_normal(size=(functions, dim), dtype=np.float32)
    bodies *= spread.astype(np.float32)
    bodies += centres.astype(np.float32)[family] + rng.normal(size=dim).astype(np.float32)
    return bodies


def mine(search: Search, bodies: np.ndarray, folder: Path, neighbors: int, min_cosim: float) -> dict[str, Any]:
    """Mine as `sigjepa.prepare` does; returns how it was searched."""
    ids = np.arange(len(bodies))
    manifest = Manifest(folder, "bench", "bench", {}, "bench", {}, {})
    common = {"folder": folder, "manifest": manifest, "reference": manifest.reference}
    corpus = SimpleNamespace(
        **common, hash="bench", ids=lambda split, tiers: ids, check_same_functions=lambda artifact: None
    )
    vectors = torch.from_numpy(bodies)
    shards = SimpleNamespace(**common, ids=ids, dim=bodies.shape[1], pooled=lambda half, functions: vectors[functions])
    pairs = Store(folder).get(MinedPairsStage(corpus, shards, neighbors, min_cosim, search=search))  # type: ignore[arg-type]
    assert pairs.manifest is not None
    return dict(pairs.manifest.facts["search"])


def one_product(bodies: np.ndarray) -> dict[str, Any]:
    vectors = torch.nn.functional.normalize(torch.from_numpy(bodies), dim=1)
    for block in vectors.split(BLOCK):
        block @ vectors.T
    return {}


def flat_search(bodies: np.ndarray, neighbors: int) -> dict[str, Any]:
    index = faiss.IndexFlatIP(bodies.shape[1])
    vectors = bodies.copy()
    faiss.normalize_L2(vectors)
    index.add(vectors)
    index.search(vectors, neighbors + 1)
    return {}


def semantic_search(bodies: np.ndarray, neighbors: int) -> dict[str, Any]:
    from sentence_transformers.util import semantic_search  # noqa: PLC0415 - seconds that only this method needs

    vectors = torch.from_numpy(bodies)
    started = time.perf_counter()
    semantic_search(vectors, vectors, top_k=neighbors + 1)
    return {"seconds": time.perf_counter() - started}


def measure(options: argparse.Namespace) -> None:
    """What the child process does: one method, once; prints its figures as JSON."""
    bodies = np.load(options.bodies)
    folder = Path(options.folder)
    methods: dict[str, Callable[[], dict[str, Any]]] = {
        name: lambda search=search: mine(search, bodies, folder, options.neighbors, options.min_cosim)
        for name, search in SEARCHES.items()
    }
    methods["one product"] = lambda: one_product(bodies)
    methods["faiss IndexFlatIP"] = lambda: flat_search(bodies, options.neighbors)
    methods["semantic_search"] = lambda: semantic_search(bodies, options.neighbors)
    # What a first call costs (threads, imports, buffers of the matrix library) is not what is compared.
    faiss.knn(bodies[:64], bodies[:4096], 4, metric=faiss.METRIC_INNER_PRODUCT)
    if options.method == "semantic_search":
        semantic_search(bodies[:256], 1)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # VmHWM starts again at VmRSS
    before = memory_kib("VmRSS")
    started = time.perf_counter()
    found = methods[options.method]()
    seconds = found.pop("seconds", time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "peak_mib": (memory_kib("VmHWM") - before) / 1024, **found}))


def pairs_of(folder: Path) -> set[tuple[int, int]]:
    table = pa.concat_tables([pq.read_table(file) for file in folder.glob("mined/*/*.parquet")])
    return set(zip(table["anchor_id"].to_pylist(), table["neighbor_id"].to_pylist(), strict=True))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=20_000, help="made-up bodies (default: 20000)")
    parser.add_argument("--dim", type=int, default=384, help="size of a made-up body (default: 384, MiniLM's)")
    parser.add_argument("--shards", type=Path, help="take the bodies of this folder of teacher shards instead")
    parser.add_argument("--neighbors", type=int, default=8, help="as negatives.top_k (default: 8)")
    parser.add_argument("--min-cosim", type=float, default=0.6, help="as negatives.filter.min_cosim (default: 0.6)")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each method (default: 3)")
    parser.add_argument("--methods", nargs="*", default=[*SEARCHES, *PEERS], help="which to measure (default: all)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/mining.json"))
    for hidden in ("--method", "--bodies", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.method:
        measure(options)
        return
    if not Path("/proc/self/clear_refs").exists():
        sys.exit("benchmarks/mining.py reads peak memory from /proc, which this system does not have")
    if options.shards:
        bodies = TeacherShards.load(options.shards).body_pooled.numpy()
    else:
        bodies = made_up_bodies(options.functions, options.dim)

    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in options.methods}
    pairs: dict[str, set[tuple[int, int]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "bodies.npy"
        np.save(file, bodies)
        for repeat in range(options.repeats):
            for name in options.methods if repeat % 2 == 0 else options.methods[::-1]:
                folder = Path(temporary) / f"{name} {repeat}".replace(" ", "-")
                command = [sys.executable, __file__, "--method", name, "--bodies", str(file), "--folder", str(folder)]
                command += ["--neighbors", str(options.neighbors), "--min-cosim", str(options.min_cosim)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                measured[name].append(json.loads(done.stdout.splitlines()[-1]))
                if name in SEARCHES and repeat == 0:
                    pairs[name] = pairs_of(folder)
    report(options, bodies.shape, measured, pairs)


def report(
    options: argparse.Namespace,
    shape: tuple[int, ...],
    measured: dict[str, list[dict[str, Any]]],
    pairs: dict[str, set[tuple[int, int]]],
) -> None:
    result: dict[str, Any] = {
        "functions": shape[0],
        "dim": shape[1],
        "bodies": str(options.shards or "made up"),
        "neighbors": options.neighbors,
        "min_cosim": options.min_cosim,
        "float32_copy_mib": shape[0] * shape[1] * 4 / 2**20,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": os.getloadavg()[0],
        "methods": {},
        "times": {},
    }
    rows = []
    for name, runs in measured.items():
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(measured.get(EXACT, []), runs, strict=False)]
        if ratios:
            result["times"][name] = spread_of(ratios)
    exact = statistics.median(one["seconds"] for one in measured[EXACT]) if EXACT in measured else None
    for name, runs in measured.items():
        seconds, peak = (statistics.median(one[key] for one in runs) for key in ("seconds", "peak_mib"))
        recall = len(pairs[name] & pairs[EXACT]) / max(1, len(pairs[EXACT])) if {name, EXACT} <= pairs.keys() else None
        times_exact = seconds / exact if exact else None
        result["methods"][name] = {
            "median_seconds": seconds,
            "median_peak_mib": peak,
            "time_of_exact": times_exact,
            "recall_of_all_pairs": recall,
            "pairs": len(pairs[name]) if name in pairs else None,
            "runs": runs,
        }
        spread = f"{min(one['seconds'] for one in runs):.1f} to {max(one['seconds'] for one in runs):.1f}"
        row = [name, f"{seconds:.1f}", spread, "" if times_exact is None else f"{times_exact:.2f}", f"{peak:,.0f}"]
        rows.append([*row, f"{peak / result['float32_copy_mib']:.1f}", "" if recall is None else f"{recall:.4f}"])
    write_json(options.output, result)
    print(f"{shape[0]:,} bodies of {shape[1]}, {options.neighbors} neighbors, cosine >= {options.min_cosim}")
    print(
        markdown_table(
            ["method", "median s", "range", "of exact's time", "peak MiB", "of a float32 copy", "recall"], rows
        )
    )


if __name__ == "__main__":
    main()
