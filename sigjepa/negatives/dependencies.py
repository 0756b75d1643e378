"""What mined, judged and filtered pairs were made from, as their manifests record it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sigjepa.negatives.judging.judges.judge import Judge

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

LIBRARIES = {"openai": ("openai",), "causal_lm": ("torch", "transformers", "tokenizers")}


def data_upstream(corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
    """Return corpus and teacher shards by folder and digest."""
    return {"corpus": asdict(corpus.reference), "shards": asdict(shards.reference)}


def judge_packages(judge: Judge) -> tuple[str, ...]:
    """Distributions that a judge's scores may depend on; the structural one needs Python's grammar alone."""
    return LIBRARIES.get(str(judge.fingerprint().get("judge")), ())
