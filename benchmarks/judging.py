"""The structural judge: milliseconds of a function's features, beside parsing its body alone, and of a pair.

On one core by its time, and features on all cores by the clock: in processes that have started, as `executor=local` has
them where the work is long.

    python benchmarks/judging.py
    python benchmarks/judging.py --functions 300 --repeats 2

Functions are the standard library's; pairs are of neighbors in it, each function in `--neighbors` of them.
"""

import argparse
import ast
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from paired import compare, print_comparison
from standard_library import functions

from sigjepa.corpus.functions import Function
from sigjepa.negatives.judging.judges.code_features import extract_features
from sigjepa.negatives.judging.judges.judge import JudgeRequest
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.store.executors.local import core_count
from sigjepa.store.files import write_json


def requests_of(chosen: Sequence[Function], neighbors: int) -> list[JudgeRequest]:
    """Return a request for each function and each of those behind it."""
    pairs = [(i, i + step) for i in range(len(chosen)) for step in range(1, neighbors + 1) if i + step < len(chosen)]
    return [
        JudgeRequest(
            i,
            j,
            chosen[i].key,
            chosen[j].key,
            0.5,
            chosen[i].signature,
            chosen[i].body,
            chosen[j].signature,
            chosen[j].body,
        )
        for i, j in pairs
    ]


def read(functions: Sequence[tuple[str, str]]) -> int:
    """Read the features of signatures and bodies, in a process of the pool."""
    return len([extract_features(*function).pack() for function in functions])


def seconds_on_all_cores(chosen: Sequence[Function], repeats: int) -> float:
    """Return the median time of the features of all functions in a process a core."""
    cores, texts = core_count(), [(function.signature, function.body) for function in chosen]
    blocks = [texts[start :: 4 * cores] for start in range(4 * cores)]
    seconds = []
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        for _ in range(1 + repeats):  # the first starts them
            began = time.perf_counter()
            assert sum(pool.map(read, blocks)) == len(texts)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def judging(count: int, neighbors: int, repeats: int) -> dict[str, Any]:
    """Return how long features and scores take."""
    chosen = functions(count)
    requests = requests_of(chosen, neighbors)

    def features() -> int:
        return len([extract_features(function.signature, function.body) for function in chosen])

    def pairs() -> int:
        return len([judgement for _, judgement in StructuralJudge().judge(requests) if judgement.score_c is not None])

    def parsing() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sum(isinstance(ast.parse(function.body), ast.Module) for function in chosen)  # one tree at a time

    def agree(found: Mapping[str, int]) -> None:
        assert found == {"features": count, "features and pairs": len(requests), "ast.parse": count}, found

    record = compare({"features": features, "features and pairs": pairs, "ast.parse": parsing}, agree, repeats)
    seconds = record["seconds"]
    return record | {
        "milliseconds_a_function": 1000 * seconds["features"] / count,
        "milliseconds_a_function_on_all_cores": 1000 * seconds_on_all_cores(chosen, repeats) / count,
        "cores": core_count(),
        "milliseconds_a_pair": 1000 * (seconds["features and pairs"] - seconds["features"]) / len(requests),
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=3000, help="functions to judge (default: 3000)")
    parser.add_argument("--neighbors", type=int, default=4, help="pairs of each (default: 4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/judging.json"))
    options = parser.parse_args(words)
    record = judging(options.functions, options.neighbors, options.repeats)
    write_json(options.output, record)
    print_comparison(f"the structural judge on {options.functions:,} functions", record)
    print(
        f"a function {record['milliseconds_a_function']:.2f} ms, on {record['cores']} cores "
        f"{record['milliseconds_a_function_on_all_cores']:.2f} ms, a pair {record['milliseconds_a_pair']:.3f} ms"
    )


if __name__ == "__main__":
    main()
