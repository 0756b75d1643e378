"""Extraction beside a bare `ast.parse`, the search for duplicates beside hashing alone and datasketch, on one core.

    python benchmarks/corpus_building.py
    python benchmarks/corpus_building.py --files 200 --functions 2000 --repeats 3

The code is the standard library's. Parsing is timed as it is, and while Python's garbage collection is paused. Hashing
alone is the shingles and the MinHash of each body, in both views, once: it finds nothing. datasketch, where it is
installed, finds near duplicates of one view alone.
"""

import argparse
import ast
import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from paired import compare, print_comparison
from standard_library import files, functions

from sigjepa.corpus.dedup import (
    PERMUTATIONS,
    REASONS,
    SHINGLE_TOKENS,
    TOKEN,
    VIEWS,
    band_keys,
    duplicates,
    lsh_bands,
    shingle_set,
)
from sigjepa.corpus.functions import Function, extract_functions
from sigjepa.corpus.near_pairs import NearPairsStage
from sigjepa.corpus.sketches import Sketches, arrays_of
from sigjepa.runtime.garbage_collection import paused_garbage_collection
from sigjepa.store.files import write_json
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part

THRESHOLD = 0.8


def extraction(count: int, repeats: int) -> dict[str, Any]:
    """Return how long functions are extracted from files, beside parsing them."""
    chosen = files()[:: max(1, len(files()) // count)][:count]

    def ours() -> int:
        return sum(len(extract_functions(content, repository="", path=path)[0]) for path, content in chosen)

    def parsed() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trees = [ast.parse(content) for _, content in chosen]
        return sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for tree in trees for node in ast.walk(tree)
        )

    def agree(found: Mapping[str, int]) -> None:
        assert 0 < found["sigjepa"] <= parsed(), found

    def bare() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _, content in chosen:
                ast.parse(content)

    def parsing_alone() -> None:
        with paused_garbage_collection():
            bare()

    return compare(
        {"sigjepa": ours, "ast.parse": bare, "ast.parse, garbage collection paused": parsing_alone}, agree, repeats
    )


def near_duplicates(chosen: list[Function], repeats: int) -> dict[str, Any]:
    """Return how long the search for duplicates takes, beside its hashes alone and datasketch where it is installed."""

    bands = lsh_bands(THRESHOLD)

    def ours() -> set[str]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for array, values in arrays_of([each.body for each in chosen], bands).items():
                np.save(folder / f"{array}-all.npy", values)
            facts = {"parts": ["all"], "functions": [len(chosen)]}
            stage = NearPairsStage(Sketches(Manifest(folder, "", "", {}, "", facts, {})), THRESHOLD)
            stage.build(Part("all", 0, len(stage.tasks())), folder)
            names = {path.name: None for path in folder.glob("*-all.npy")}
            pairs = stage.open(Manifest(folder, "", "", {}, "", {}, names))
            gone = duplicates(
                {reason: pairs.same(reason) for reason in REASONS}, {view: pairs.near(view) for view in VIEWS}
            )
        positions = {*np.concatenate([*gone.values()]).tolist()}
        return {function.key for position, function in enumerate(chosen) if position not in positions}

    def hashing() -> None:
        hashes: dict[str, int] = {}
        for function in chosen:
            for view in VIEWS.values():
                band_keys(shingle_set(view(function.body), hashes), bands)

    def datasketch() -> set[str]:
        from datasketch import MinHash, MinHashLSH  # noqa: PLC0415 - where it is installed

        index, kept = MinHashLSH(THRESHOLD, PERMUTATIONS), set()
        for position, function in enumerate(chosen):
            words, minhash = TOKEN.findall(function.body), MinHash(PERMUTATIONS)
            ends = range(max(1, len(words) - SHINGLE_TOKENS + 1))
            minhash.update_batch([" ".join(words[at : at + SHINGLE_TOKENS]).encode() for at in ends])
            if not index.query(minhash):
                index.insert(position, minhash)
                kept.add(function.key)
        return kept

    def agree(kept: Mapping[str, set[str]]) -> None:
        assert 0 < len(kept["sigjepa"]) <= len(chosen)
        if "datasketch" in kept:  # it estimates, and does not see renamed copies
            both = len(kept["sigjepa"] & kept["datasketch"])
            assert both > 0.9 * len(kept["sigjepa"]), (both, len(kept["sigjepa"]))

    peers = {"datasketch": datasketch} if find_spec("datasketch") else {}
    return compare({"sigjepa": ours, "hashing alone": hashing, **peers}, agree, repeats)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400, help="files to extract from (default: 400)")
    parser.add_argument("--functions", type=int, default=8000, help="functions to look for duplicates in")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/corpus_building.json"))
    options = parser.parse_args(words)
    record = {
        "extraction": extraction(options.files, options.repeats),
        "near_duplicates": near_duplicates(functions(options.functions), options.repeats),
    }
    write_json(options.output, record)
    print_comparison(f"extraction from {options.files} files", record["extraction"])
    print_comparison(f"duplicates among {options.functions:,} functions", record["near_duplicates"])


if __name__ == "__main__":
    main()
