"""Teacher encoding beside sentence-transformers' `encode` and its own matrix products: model and texts are the same.

    python benchmarks/teacher_encoding.py
    python benchmarks/teacher_encoding.py --texts 40 --repeats 2

Ours keeps every token's state and the mean, as shards do; the peer gives the mean alone. The products are those of
our batches. All on one core.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from matrix_products import products_of
from paired import compare, print_comparison
from sentence_transformers import SentenceTransformer
from standard_library import functions
from torch import Tensor
from torch.nn import functional as F

from sigjepa.store.files import write_json
from sigjepa.teacher.load import load_teacher

MAX_DIFFERENCE = 1e-4


def encoding(texts: list[str], max_tokens: int, repeats: int) -> dict[str, Any]:
    """Return how long it takes to encode texts, beside the peer and the products."""
    teacher = load_teacher("minilm", ["teacher.device=cpu"])
    peer = SentenceTransformer(str(teacher.checkpoint.folder), device="cpu")
    peer.max_seq_length = max_tokens
    teacher.encode(texts[:1], max_tokens)  # it is loaded and tried out

    def ours() -> Tensor:
        return teacher.encode(texts, max_tokens).pooled

    def theirs() -> Tensor:
        return torch.from_numpy(peer.encode(texts, convert_to_numpy=True, show_progress_bar=False))

    def agree(found: Mapping[str, Tensor]) -> None:
        difference = float((F.normalize(found["sigjepa"], dim=-1) - found["sentence-transformers"]).abs().max())
        assert difference < MAX_DIFFERENCE, f"the vectors are {difference:.1e} apart"

    products = products_of(ours)
    cases = {"sigjepa": ours, "sentence-transformers": theirs, "matrix products": products.run}
    tokens = int(teacher.encode(texts, max_tokens).offsets[-1])
    record = compare(cases, agree, repeats)
    return record | {"tokens": tokens, "operations": products.operations}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=400, help="functions of the standard library (default: 400)")
    parser.add_argument("--max-tokens", type=int, default=256, help="length limit of a text (default: 256)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/teacher_encoding.json"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    texts = [f"{function.signature}\n{function.body}" for function in functions(options.texts)]
    record = encoding(texts, options.max_tokens, options.repeats)
    write_json(options.output, record)
    print_comparison(f"encoding of {options.texts:,} functions, {record['tokens']:,} tokens", record)


if __name__ == "__main__":
    main()
