"""BM25 over the words of signature and body: what shared vocabulary alone retrieves."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.errors import SigjepaError


def bm25_scorer(signatures: Sequence[str], bodies: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Return a function from queries `rows` `[Q]` of `signatures` to their BM25 scores `[Q, C]` of all `bodies`.

    Texts are split into the lower-case words of their identifiers before they reach bm25s, whose own tokenizer would
    lower-case first. Document frequencies are those of `bodies`, the pool. Raises SigjepaError when bm25s is not
    installed or no body has a word. Source: Robertson and Zaragoza (2009), in bm25s' Lucene variant.
    """
    try:
        with without_jax():
            import bm25s  # noqa: PLC0415 - training must not need it
    except ModuleNotFoundError:
        raise SigjepaError(
            "bm25s is not installed: pip install bm25s, or leave its baselines out with "
            "'baseline=[random,mean_body,zero_shot,zero_shot_centred,zero_shot_whitened,role_bm25,role_fusion,"
            "free_name_rule,free_name_counts]'."
        ) from None
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # importing it set DEBUG: a line for every index
    documents = [split_identifier(body) for body in bodies]
    if not any(documents):
        raise SigjepaError("No body of the pool has a word, so BM25 has nothing to index; check corpus.source.")
    index = bm25s.BM25()
    index.index(documents, show_progress=False)
    queries = [[word for word in split_identifier(text) if word in index.vocab_dict] for text in signatures]

    def scores(rows: Tensor) -> Tensor:
        block = torch.zeros(len(rows), len(bodies))
        for row, query in zip(block, rows.tolist(), strict=True):
            if words := queries[query]:
                row.copy_(torch.from_numpy(index.get_scores(words)))
        return block

    return scores


@contextmanager
def without_jax() -> Iterator[None]:
    """Return a context in which jax, unless it is imported already, counts as not installed.

    bm25s imports it where it can, and jax takes three quarters of a GPU's memory from the student, for good.
    """
    hide = "jax" not in sys.modules
    if hide:
        sys.modules["jax"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules["jax"]
