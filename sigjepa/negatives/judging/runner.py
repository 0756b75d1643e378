"""Asking a judge about mined pairs: each unordered pair is one question, and its answer goes to both directions."""

import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.judges.judge import SCORES, Judge, Judgement, JudgeRequest, Pair
from sigjepa.negatives.judging.response_cache import ResponseCache, open_responses
from sigjepa.store.progress import progress

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.negatives.mining.pairs import Pairs

logger = logging.getLogger(__name__)

MAX_UNUSABLE = 20
"""First answers without a score after which a judge is asked nothing more."""
MAX_REASON = 200  # characters of a reason in a message or a table


def judge_pairs(pairs: "Pairs", judge: Judge, corpus: "Corpus", data_dir: Path) -> tuple[JudgedPairs, dict[str, Any]]:
    """Return `pairs` with the scores of `judge`, and how many of the unordered pairs have none and why.

    Scores are asked for, or found in its response cache below `data_dir`.

    A pair without a score, be it a parse error or beyond `negatives.judge.limit`, is left out. Raises SigjepaError for
    a judge that breaks its contract, can't go on or gives no score at all, and for a damaged response cache.
    """
    requests, question_of = questions(pairs, corpus)
    answers = ask(judge, requests, data_dir)
    given = [answers.get(request.pair) for request in requests]
    scores = np.array([-1 if answer is None or answer.score_c is None else answer.score_c for answer in given], np.int8)
    kept = np.flatnonzero(scores[question_of] >= 0)
    unusable = [answer.reason for answer in given if answer is not None and answer.score_c is None]
    if unusable:
        summary = (
            f"{len(unusable):,} of {len(given):,} pairs ({len(unusable) / len(given):.1%}) have no score, since the "
            f"answers of {judge.name} could not be used: {reasons(unusable)}."
        )
        if not len(kept):
            raise SigjepaError(
                f"{summary} So there would be no hard negatives. Change the judge's settings or the judge; "
                "negatives.judge.parse_error_retries=1 asks the same one again."
            )
        logger.warning(
            "%s They are neither negatives nor related. negatives.judge.parse_error_retries=1 asks again.", summary
        )
    judged = JudgedPairs(
        pairs.anchor_ids[kept],
        pairs.neighbor_ids[kept],
        pairs.cosim[kept],
        scores[question_of[kept]],
        judge.name,
        [answer.reason if (answer := given[question]) else "" for question in question_of[kept].tolist()],
    )
    counts = {"parse_errors": len(unusable), "not_asked": sum(answer is None for answer in given)}
    return judged, counts | {"questions": len(given), "unusable": reasons(unusable)}


def questions(pairs: "Pairs", corpus: "Corpus") -> tuple[list[JudgeRequest], npt.NDArray[np.int64]]:
    """Return one request for each unordered pair, and `[P]`: which of them each directed pair is."""
    unordered = np.stack(
        [np.minimum(pairs.anchor_ids, pairs.neighbor_ids), np.maximum(pairs.anchor_ids, pairs.neighbor_ids)], axis=1
    )
    ids, places, question_of = np.unique(unordered, axis=0, return_index=True, return_inverse=True)
    keys, signatures, bodies = (corpus.column(name) for name in ("key", "signature", "body"))
    requests = []
    for pair, cosim in zip(ids.tolist(), pairs.cosim[places].tolist(), strict=True):
        first, second = sorted(pair, key=lambda function: (keys[function], function))
        requests.append(
            JudgeRequest(
                *(first, second, keys[first], keys[second], cosim),
                *(signatures[first], bodies[first], signatures[second], bodies[second]),
            )
        )
    return requests, question_of.reshape(-1)  # numpy 2.0 alone gives it a second dimension


def chosen(requests: Sequence[JudgeRequest], limit: int | None) -> list[JudgeRequest]:
    """Return at most `limit` requests, in their order: those whose pairs hash lowest, so a higher limit keeps them.

    Raises SigjepaError for a limit below 1.
    """
    if limit is None:
        return list(requests)
    if limit < 1:
        raise SigjepaError(f"negatives.judge.limit must be at least 1, or null for all pairs, got {limit}.")
    hashes = [(xxhash.xxh3_64_intdigest("\0".join(request.pair).encode()), request.pair) for request in requests]
    lowest = sorted(range(len(requests)), key=hashes.__getitem__)[:limit]
    return [requests[position] for position in sorted(lowest)]


def ask(judge: Judge, requests: Sequence[JudgeRequest], data_dir: Path) -> Mapping[Pair, Judgement]:
    """Return the answers to those of `requests` within the limit; only what the response cache lacks is asked.

    Raises SigjepaError for a judge that breaks its contract or can't go on, and for a damaged response cache.
    """
    within = {request.pair: request for request in chosen(requests, judge.limit)}
    retries = judge.parse_error_retries
    with open_responses(data_dir, judge) as responses:
        while to_ask := {pair: request for pair, request in within.items() if responses.find(pair, retries) is None}:
            cost = judge.cost(list(to_ask.values()))
            logger.info(
                "Judging with %s: %s pairs%s, %s already judged, %s to ask%s",
                *(judge.name, f"{len(requests):,}"),
                "" if judge.limit is None else f", {len(within):,} of them within negatives.judge.limit",
                *(f"{len(within) - len(to_ask):,}", f"{len(to_ask):,}"),
                f"; {cost}" if cost else "",
            )
            _answered(judge, to_ask, responses)  # each pair now has one answer more, so this ends
        return {pair: answer for pair in within if (answer := responses.find(pair, retries)) is not None}


def _answered(judge: Judge, requests: Mapping[Pair, JudgeRequest], responses: ResponseCache) -> None:
    """Put all of `requests` to the judge and record each answer as it comes.

    Answers without a score are recorded once one has a score: a judge that gives none has a fault of its own.
    """
    asked: set[Pair] = set()
    held: list[tuple[Pair, Judgement]] = []
    trusted = responses.has_score()
    scores: Counter[int | None] = Counter()
    bar = progress(None, f"Judging, {judge.name}", total=len(requests), unit="pair")
    judgements = judge.judge(requests.values())
    try:
        for request, judgement in judgements:
            _check(judge, request, judgement, requests, asked)
            asked.add(request.pair)
            held.append((request.pair, judgement))
            trusted = trusted or judgement.score_c is not None
            if trusted:
                _record(held, responses)
            elif len(held) == MAX_UNUSABLE:
                raise useless(judge, held)
            scores[judgement.score_c] += 1
            if bar.update():  # the bar was drawn
                bar.set_postfix_str(histogram(scores))
    except SigjepaError as error:
        if not (given := len(asked) - len(held)):
            raise
        raise SigjepaError(
            f"{error} The {given} of {len(requests)} judgements that were given are kept in {responses.path}; "
            "the same command continues with the others."
        ) from error
    finally:
        bar.close()
        if isinstance(judgements, Generator):
            judgements.close()  # what it holds, such as requests in flight, is let go of here and now
    _record(held, responses)
    if len(asked) != len(requests):
        raise SigjepaError(
            f"The judge '{judge.name}' gave {len(asked)} judgements for {len(requests)} pairs; a judge must answer "
            "every request once."
        )


def _record(held: list[tuple[Pair, Judgement]], responses: ResponseCache) -> None:
    for pair, judgement in held:
        responses.append(pair, judgement)
    held.clear()


def useless(judge: Judge, held: Sequence[tuple[Pair, Judgement]]) -> SigjepaError:
    """Return the error for a judge whose first answers are all unusable."""
    return SigjepaError(
        f"The first {len(held)} answers of {judge.name} are all unusable: "
        f"{reasons([judgement.reason for _, judgement in held])}. None of them is recorded, and nothing more is asked. "
        "A model that thinks needs a higher negatives.judge.max_answer_tokens, or another judge; an endpoint that "
        "refuses may want another negatives.judge.model, negatives.judge.temperature=null or "
        "negatives.judge.max_answer_tokens=null, or a lower negatives.judge.max_code_characters."
    )


def reasons(given: Sequence[str], most: int = 3) -> str:
    """Return the most frequent of the reasons for which answers are unusable, each with its number."""
    counts = Counter(reason.removeprefix("parse_error: ") for reason in given)
    more = f"; and {len(counts) - most} others" if len(counts) > most else ""
    return "; ".join(f"{reason[:MAX_REASON]} ({count:,})" for reason, count in counts.most_common(most)) + more


def histogram(scores: Mapping[int | None, int]) -> str:
    """Return how many pairs got each score, such as `0:12 1:30 2:4 3:1`, with the parse errors last when there are "
    "any."""
    errors = scores.get(None, 0)
    return " ".join(f"{score}:{scores.get(score, 0)}" for score in SCORES) + (f" parse_error:{errors}" * bool(errors))


def _check(
    judge: Judge,
    request: JudgeRequest,
    judgement: Judgement,
    requests: Mapping[Pair, JudgeRequest],
    answers: Set[Pair],
) -> None:
    pair = (request.anchor_id, request.neighbor_id)
    if request.pair not in requests or request.pair in answers:
        raise SigjepaError(
            f"The judge '{judge.name}' answered pair {pair}, which it was not asked or had answered before; a judge "
            "must answer every request once."
        )
    if judgement.score_c is not None and (type(judgement.score_c) is not int or judgement.score_c not in SCORES):
        raise SigjepaError(
            f"The judge '{judge.name}' gave pair {pair} score_c={judgement.score_c!r}; scores are 0, 1, 2 and 3, and "
            "None for an answer that holds none."
        )
