"""What mined, judged and filtered pairs were made from, as their manifests record it."""

from typing import TYPE_CHECKING, Any

from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.store.origin import upstream_of

if TYPE_CHECKING:
    from sigjepa.corpus.store import Corpus
    from sigjepa.teacher.shards import TeacherShards

LIBRARIES = {"openai": ("openai",), "causal_lm": ("torch", "transformers", "tokenizers")}


def data_upstream(corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
    """Corpus and teacher shards by folder and digest."""
    from sigjepa.teacher.manifest import shards_digest  # noqa: PLC0415 - pulls in torch

    return {
        "corpus": upstream_of(corpus.folder, corpus.hash),
        "shards": upstream_of(shards.folder, shards_digest(shards.manifest.get("shards", ()))),
    }


def judge_packages(judge: Judge) -> tuple[str, ...]:
    """Distributions that a judge's scores may depend on; the structural one needs Python's grammar alone."""
    return LIBRARIES.get(str(judge.fingerprint().get("judge")), ())
