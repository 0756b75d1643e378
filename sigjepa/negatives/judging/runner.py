"""Asking a judge: each question once, its answer recorded as it comes, and found there ever after."""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import SCORES, Judge, Judgement, JudgeRequest, Pair
from sigjepa.negatives.judging.questions import chosen
from sigjepa.negatives.judging.response_cache import Known, ResponseCache, held_ledgers, pair_hash
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.store.progress import progress

log = logging.getLogger(__name__)

MAX_UNUSABLE = 20
"""First answers without a score after which a judge is asked nothing more."""
MAX_REASON = 200  # characters of a reason in a message or a table


def ask(judge: Judge, requests: Sequence[JudgeRequest], data_dir: Path) -> dict[Pair, Judgement]:
    """Return the answers to those of `requests` within the limit; only what no ledger holds is asked.

    Raises SigjepaError for a judge that breaks its contract or can't go on, and for a damaged ledger.
    """
    hashes = np.array([pair_hash(request.pair) for request in requests], np.uint64)
    with held_ledgers(data_dir, judge) as known:
        within = plan(judge, hashes, known, lambda rows: (requests[row] for row in rows.tolist()))
        return answers_to(judge, [requests[row] for row in within.tolist()], data_dir)


def plan(
    judge: Judge, hashes: npt.NDArray[np.uint64], known: Known, requests_at: Callable[[Ids], Iterable[JudgeRequest]]
) -> Ids:
    """Return which of the pairs with these hashes are within the limit, and log what is asked of them and its cost.

    requests_at: gives the requests in some rows.
    """
    within = chosen(hashes, judge.limit)
    to_ask = ~known.answered(hashes[within], judge.parse_error_retries)
    if to_ask.any():
        cost = judge.cost(requests_at(within[to_ask]))
        log.info(
            "Judging with %s: %s pairs%s, %s already judged, %s to ask%s",
            judge.name,
            f"{len(hashes):,}",
            "" if judge.limit is None else f", {len(within):,} of them within negatives.judge.limit",
            f"{(~to_ask).sum():,}",
            f"{to_ask.sum():,}",
            f"; {cost}" if cost else "",
        )
    return within


def answers_to(judge: Judge, requests: Sequence[JudgeRequest], data_dir: Path) -> dict[Pair, Judgement]:
    """Return the answer to each request; it is asked where no ledger holds it, and recorded in one of this writer's.

    Writers are workers of one command, which holds the ledgers, and each has other requests.
    """
    wanted = {request.pair: request for request in requests}
    retries = judge.parse_error_retries
    with ResponseCache(data_dir, judge, wanted.keys()) as responses:
        while to_ask := {pair: request for pair, request in wanted.items() if responses.find(pair, retries) is None}:
            _ask_all(judge, to_ask, responses)  # each pair now has one answer more, so this ends
        found = {pair: responses.find(pair, retries) for pair in wanted}
        return {pair: answer for pair, answer in found.items() if answer is not None}


def _ask_all(judge: Judge, requests: Mapping[Pair, JudgeRequest], responses: ResponseCache) -> None:
    """Put all of `requests` to the judge and record each answer as it comes.

    Answers without a score are recorded once one has a score: a judge that gives none has a fault of its own.
    """
    asked: set[Pair] = set()
    held: list[tuple[Pair, Judgement]] = []
    scores: Counter[int | None] = Counter()
    bar = progress(None, f"Judging, {judge.name}", total=len(requests), unit="pair")
    judgements = judge.judge(requests.values())
    try:
        for request, judgement in judgements:
            _check(judge, request, judgement, requests, asked)
            asked.add(request.pair)
            held.append((request.pair, judgement))
            if responses.trusted or judgement.score_c is not None:
                _record(held, responses)
            elif len(held) == MAX_UNUSABLE:
                raise useless(judge, held)
            scores[judgement.score_c] += 1
            if bar.update():  # the bar was drawn
                bar.set_postfix_str(histogram(scores))
    except SigjepaError as error:
        if not (given := len(asked) - len(held)) or not judge.keeps_answers:
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
        responses.trusted = responses.trusted or judgement.score_c is not None
    held.clear()


def useless(judge: Judge, held: Sequence[tuple[Pair, Judgement]]) -> SigjepaError:
    """Return the error for a judge whose first answers are all unusable."""
    return SigjepaError(
        f"The first {len(held)} answers of {judge.name} are all unusable: "
        f"{reasons(Counter(judgement.reason for _, judgement in held))}. None of them is recorded, and nothing more is "
        "asked. A model that thinks needs a higher negatives.judge.max_answer_tokens, or another judge; an endpoint "
        "that refuses may want another negatives.judge.model, negatives.judge.temperature=null or "
        "negatives.judge.max_answer_tokens=null, or a lower negatives.judge.max_code_characters."
    )


def reasons(given: Mapping[str, int], most: int = 3) -> str:
    """Return the most frequent of the reasons for which answers are unusable, each with its number."""
    counts: Counter[str] = Counter()
    for reason, count in given.items():
        counts[reason.removeprefix("parse_error: ")] += count
    more = f"; and {len(counts) - most} others" if len(counts) > most else ""
    return "; ".join(f"{reason[:MAX_REASON]} ({count:,})" for reason, count in counts.most_common(most)) + more


def check_scores(judge: Judge, questions: int, unusable: Mapping[str, int], scored: int) -> None:
    """Warn about answers without a score; raises SigjepaError where no answer has one."""
    if not (lost := sum(unusable.values())):
        return
    summary = (
        f"{lost:,} of {questions:,} pairs ({lost / questions:.1%}) have no score, since the "
        f"answers of {judge.name} could not be used: {reasons(unusable)}."
    )
    if not scored:
        raise SigjepaError(
            f"{summary} So there would be no hard negatives. Change the judge's settings or the judge; "
            "negatives.judge.parse_error_retries=1 asks the same one again."
        )
    log.warning("%s They are neither negatives nor related. negatives.judge.parse_error_retries=1 asks again.", summary)


def histogram(scores: Mapping[int | None, int]) -> str:
    """Return how many pairs got each score, such as `0:12 1:30 2:4 3:1`, parse errors last if there are any."""
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
