"""Ranks of a whole pool, beside the matrix product alone and the evaluator of sentence-transformers, on one core.

    python benchmarks/ranking.py
    python benchmarks/ranking.py --functions 300 --dim 16 --repeats 2

Predictions are made up, of 2048-d bodies as those of the published teacher. The evaluator is given the embeddings: it
encodes nothing. The product is of normalized rows, a block at a time, as ours is.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from paired import compare, print_comparison
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor
from torch.nn import functional as F

from sigjepa.evaluation.ranks import BLOCK, pool_ranks
from sigjepa.store.files import write_json

AT = [1, 5, 10]


class Given:
    """What the evaluator takes for a model: it has the embeddings already."""

    similarity_fn_name = None
    similarity = staticmethod(lambda one, other: F.normalize(one, dim=-1) @ F.normalize(other, dim=-1).T)

    def __init__(self, predictions: Tensor) -> None:
        self.predictions = predictions

    def encode_query(self, *ignored: Any, **options: Any) -> Tensor:
        """Return the predictions."""
        return self.predictions


def ranking(functions: int, dim: int, repeats: int) -> dict[str, Any]:
    """Return how long it takes to rank each of so many bodies for its prediction."""
    generator = torch.Generator().manual_seed(0)
    bodies = torch.randn(functions, dim, generator=generator)
    predictions = bodies + (0.25 * dim) ** 0.5 * torch.randn(functions, dim, generator=generator)
    names = [str(i) for i in range(functions)]
    same = dict(zip(names, names, strict=True))
    evaluator = InformationRetrievalEvaluator(
        same, same, {name: {name} for name in names}, mrr_at_k=[10], ndcg_at_k=[10], accuracy_at_k=AT,
        precision_recall_at_k=[10], map_at_k=[10], write_csv=False,
        score_functions={"cosine": Given.similarity},
    )  # fmt: skip

    def ours() -> list[float]:
        ranks = pool_ranks(predictions, bodies)
        return [float(ranks.recall_at(k).mean()) for k in AT]

    def theirs() -> list[float]:
        figures = evaluator.compute_metrices(Given(predictions), corpus_embeddings=bodies)["cosine"]
        return [float(figures["accuracy@k"][k]) for k in AT]

    def product() -> list[float]:
        candidates, queries = F.normalize(bodies, dim=-1), F.normalize(predictions, dim=-1)
        return [float((block @ candidates.T)[0, 0]) for block in queries.split(BLOCK)]

    def agree(found: Mapping[str, list[float]]) -> None:
        difference = max(abs(a - b) for a, b in zip(found["sigjepa"], found["sentence-transformers"], strict=True))
        assert difference < 1e-6, found

    return compare({"sigjepa": ours, "matrix product": product, "sentence-transformers": theirs}, agree, repeats)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=4096, help="of the pool (default: 4096)")
    parser.add_argument("--dim", type=int, default=2048, help="size of a body (default: 2048)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/ranking.json"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    record = ranking(options.functions, options.dim, options.repeats)
    write_json(options.output, record)
    print_comparison(f"ranks of {options.functions:,} bodies of {options.dim}", record)


if __name__ == "__main__":
    main()
