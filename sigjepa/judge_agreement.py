"""Measure whether two judges agree on the same pairs: `python -m sigjepa.judge_agreement negatives/judge=openai …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_counts, check_keys, instantiate, plain
from sigjepa.runtime.terminal import show
from sigjepa.store.files import write_json

if TYPE_CHECKING:
    from sigjepa.negatives.judging.judges.judge import Judge, JudgeRequest, Pair


def judge_agreement(config: DictConfig) -> None:
    """Put a sample of the mined pairs, or hand-labeled ones, to a judge and a reference, and print how they agree."""
    from sigjepa.negatives.judging.agreement import agreement, agreement_text
    from sigjepa.negatives.judging.labels import read_labels

    resolved = plain(config)
    check_keys(resolved, (*RUN_KEYS, "reference", "pairs", "labels"))
    check_counts(resolved, [], or_null=["pairs"])
    data_dir, output = Path(resolved["paths"]["data_dir"]), Path(resolved["paths"]["run_dir"])
    judge: Judge = instantiate(judge_node(config), resolved["allowed_targets"])
    if resolved["labels"]:
        requests, expected = read_labels(Path(resolved["labels"]))
        reference = {"name": Path(resolved["labels"]).name}
    else:
        other: Judge = instantiate(config.reference, resolved["allowed_targets"])
        check_different(judge, other)
        requests = mined_requests(config, resolved["pairs"])
        expected = scores(other, requests, data_dir)
        reference = described(other)
    given = scores(judge, requests, data_dir)
    both = [request.pair for request in requests if request.pair in expected and request.pair in given]
    result = agreement([expected[pair] for pair in both], [given[pair] for pair in both])
    record = {
        "judge": described(judge),
        "reference": reference,
        "pairs_put": len(requests),
        **result.as_dict(),
    }
    write_json(output / "judge_agreement.json", record)
    show(agreement_text(result, reference["name"], judge.name))
    if len(both) < len(requests):
        print(f"\n{len(requests) - len(both)} of {len(requests)} pairs lack a score of one side and are not counted.")
    print(f"\nwritten to {output}")


def judge_node(config: DictConfig) -> Any:
    """Return the config of the judge to be measured; raises SigjepaError where nothing is judged."""
    judge = (config.negatives or {}).get("judge")
    if judge is None:
        raise SigjepaError(f"{config.name} mines no pairs to judge, so it has no judge; use negatives=knn.")
    return judge


def mined_requests(config: DictConfig, most: int | None) -> list[JudgeRequest]:
    """Return a sample of the pairs that the experiment mines, or all for None; both judges read their code alone."""
    import numpy as np
    import pyarrow as pa

    from sigjepa.negatives.judging.questions import (
        chosen,
        functions_of,
        ids_of,
        question_hashes,
        questions_of,
        requests_for,
    )
    from sigjepa.negatives.sources import MinedNegatives
    from sigjepa.pipeline import pipeline_of

    pipeline = pipeline_of(config)
    source = pipeline.negatives
    assert isinstance(source, MinedNegatives), "only these have a judge"
    corpus = pipeline.store.get(pipeline.corpus)
    shards = pipeline.store.get(pipeline.shard_stage(corpus))
    questions, _ = questions_of(source.mined(corpus, shards, pipeline.store.get))
    keys = pa.table({"id": np.arange(len(corpus)), "key": corpus.column("key")})
    questions = questions.take(chosen(question_hashes(questions, keys), most))
    return [*requests_for(questions, functions_of(corpus, ids_of(questions), lambda *_: b""))]


def scores(judge: Judge, requests: list[JudgeRequest], data_dir: Path) -> dict[Pair, int]:
    """Return the score of each pair that got one."""
    from sigjepa.negatives.judging.runner import ask

    answers = ask(judge, requests, data_dir)
    return {pair: answer.score_c for pair, answer in answers.items() if answer.score_c is not None}


def described(judge: Judge) -> dict[str, Any]:
    """Return who judged, as JSON."""
    return {"name": judge.name, "fingerprint": judge.fingerprint()}


def check_different(judge: Judge, reference: Judge) -> None:
    """Raise SigjepaError when both are one and the same judge, which agrees with itself."""
    if judge.fingerprint() == reference.fingerprint():
        raise SigjepaError(
            f"negatives/judge and negatives/judge@reference are both '{judge.name}', which agrees with itself; give "
            "another judge, for example negatives/judge=openai negatives.judge.model=…, or other settings."
        )


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("judge_agreement", lambda: hydra_job("judge_agreement", judge_agreement, ["lightning"]))


if __name__ == "__main__":
    main()
