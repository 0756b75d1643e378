"""Asking a judge about mined pairs: each unordered pair is one question, and its answer goes to both directions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judged import JudgedPairs
from sigjepa.negatives.judges.contract import SCORES, Judge, JudgeRequest
from sigjepa.progress import progress

if TYPE_CHECKING:
    from sigjepa.corpus.store import Corpus
    from sigjepa.negatives.knn import Pairs


def judge_pairs(pairs: "Pairs", judge: Judge, corpus: "Corpus") -> JudgedPairs:
    """`pairs` with the scores of `judge`; raises SigjepaError for a judge that breaks its contract."""
    unordered = np.stack(
        [np.minimum(pairs.anchor_ids, pairs.neighbor_ids), np.maximum(pairs.anchor_ids, pairs.neighbor_ids)], axis=1
    )
    questions, first, question_of = np.unique(unordered, axis=0, return_index=True, return_inverse=True)
    question_of = question_of.reshape(-1)  # numpy 2.0 alone gives it a second dimension
    scores, reasons = _ask(judge, questions, pairs.cosim[first], corpus)
    return JudgedPairs(
        pairs.anchor_ids,
        pairs.neighbor_ids,
        pairs.cosim,
        scores[question_of],
        judge.name,
        [reasons[question] for question in question_of.tolist()],
    )


def _ask(
    judge: Judge, questions: npt.NDArray[np.int64], cosim: npt.NDArray[np.float64], corpus: "Corpus"
) -> tuple[npt.NDArray[np.int8], list[str]]:
    """Score and reason of each question `[Q, 2]`."""
    scores: list[int] = []
    reasons: list[str] = []
    judgements = judge.judge(_requests(questions, cosim, corpus))
    for judgement in progress(judgements, f"Judging, {judge.name}", total=len(questions), unit="pair"):
        if judgement.score_c not in SCORES:
            raise SigjepaError(
                f"The judge '{judge.name}' gave pair {tuple(questions[len(scores)].tolist())} score_c="
                f"{judgement.score_c!r}; scores are 0, 1, 2 and 3."
            )
        scores.append(judgement.score_c)
        reasons.append(judgement.reason)
    if len(scores) != len(questions):
        raise SigjepaError(
            f"The judge '{judge.name}' gave {len(scores)} judgements for {len(questions)} pairs; a judge must "
            "answer every request once, in order."
        )
    return np.array(scores, dtype=np.int8), reasons


def _requests(
    questions: npt.NDArray[np.int64], cosim: npt.NDArray[np.float64], corpus: "Corpus"
) -> Iterator[JudgeRequest]:
    signatures, bodies = corpus.column("signature"), corpus.column("body")
    for (one, other), cosine in zip(questions.tolist(), cosim.tolist(), strict=True):
        yield JudgeRequest(one, other, cosine, signatures[one], bodies[one], signatures[other], bodies[other])
