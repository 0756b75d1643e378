"""Pools: the three splits as baselines and ceilings see them, texts and teacher embeddings side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.pool_sample import HELD_OUT, PoolSample
from sigjepa.data.targets import Targets, owners_of
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.lexicon.function_terms import FunctionTerms
from sigjepa.lexicon.lexicon import Lexicon
from sigjepa.teacher.normalize import fit_center
from sigjepa.teacher.shards import TeacherShards


@dataclass(frozen=True)
class Pool:
    """Hold a split or a sample of it: ids `[N]`, ascending, texts of both halves, the teacher's embeddings `[N, D]`.

    packages: the repository of each function. terms: of all functions, None where nothing needs the lexicon.
    """

    ids: np.ndarray
    signatures: Sequence[str]
    bodies: Sequence[str]
    signature_pooled: Tensor
    body_pooled: Tensor
    packages: Sequence[str]
    terms: FunctionTerms | None = None

    @property
    def lexicon_terms(self) -> FunctionTerms:
        """The terms of all functions; raises ValueError where the pool was read without the lexicon."""
        if self.terms is None:
            raise ValueError("these pools were read without a lexicon: set needs_lexicon for what needs it")
        return self.terms


Pools = Mapping[str, Pool]
"""The pools `train`, `val` and `test`."""


@dataclass(frozen=True)
class PoolFacts:
    """Say of each query of a pool, by function id `[N]` ascending, what decides how much its rank counts.

    packages: `[N]` numbers, equal for queries of one package. in_train: `[N]` whether its signature stands verbatim in
    train.
    """

    ids: np.ndarray
    packages: np.ndarray
    in_train: np.ndarray


def pool_facts(corpus: Corpus, sample: PoolSample) -> dict[str, PoolFacts]:
    """Return the facts of the held-out pools of a corpus."""
    repositories, signatures = corpus.column("repository"), corpus.column("signature")
    trained = {signatures[i] for i in corpus.ids("train")}
    return {
        split: PoolFacts(
            ids,
            np.unique([repositories[i] for i in ids], return_inverse=True)[1],
            np.array([signatures[i] in trained for i in ids], dtype=bool),
        )
        for split in HELD_OUT
        for ids in [sample.ids(corpus, split)]
    }


def check_held_out(split: str) -> None:
    """Raise SigjepaError for a split whose pool is not held out."""
    if split not in HELD_OUT:
        raise SigjepaError(f"split={split} is no held-out pool.{nearest_name(split, HELD_OUT)} Use val or test.")


def read_pools(
    corpus: Corpus, shards: TeacherShards, lexicon: Lexicon | None = None, sample: PoolSample | None = None
) -> dict[str, Pool]:
    """Return the pools of a corpus, its shards and its lexicon; byte-identical bodies have equal embeddings.

    sample: of val and test; None is all of them.
    Raises SigjepaError for shards or a lexicon of another corpus.
    """
    corpus.check_same_functions(shards)
    if lexicon is not None:
        corpus.check_same_functions(lexicon)
    signatures, bodies = corpus.column("signature"), corpus.column("body")
    repositories = corpus.column("repository")
    targets = Targets(shards, owners_of(bodies))
    return {
        split: Pool(
            ids,
            [signatures[i] for i in ids],
            [bodies[i] for i in ids],
            shards.pooled("signature", ids),
            targets[ids],
            [repositories[i] for i in ids],
            lexicon.terms.take(ids) if lexicon is not None else None,
        )
        for split in ("train", *HELD_OUT)
        for ids in [corpus.ids(split) if sample is None or split == "train" else sample.ids(corpus, split)]
    }


def center_halves(pools: Pools) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return signatures less the mean train signature and bodies less the mean train body, for all three pools."""
    center_signature = fit_center(pools["train"].signature_pooled)
    center_body = fit_center(pools["train"].body_pooled)
    signatures = {split: center_signature(pool.signature_pooled) for split, pool in pools.items()}
    return signatures, {split: center_body(pool.body_pooled) for split, pool in pools.items()}
