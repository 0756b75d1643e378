"""Judging as a stage: every mined pair with the score that a judge gave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.negatives.judging.response_cache import responses_folder, slug
from sigjepa.negatives.judging.runner import judge_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Resource, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

FORMAT = 3  # raise it when the same inputs give other pairs or another file
FILE_NAME = "judged_pairs.parquet"


@dataclass(frozen=True)
class JudgedPairsStage(Stage[JudgedPairs]):
    """Score mined pairs.

    mined: opened from the store. data_dir: where the judge's responses are kept, which outlive the artifact: they are
    what can be resumed, so the stage is one part.
    """

    mined: Pairs
    judge: Judge
    corpus: "Corpus"
    data_dir: Path

    kind: ClassVar[str] = "judged"

    @property
    def label(self) -> str:
        """The name of the judge."""
        return slug(self.judge.name)

    @property
    def packages(self) -> Sequence[str]:  # type: ignore[override]
        """The packages that the judge's scores may depend on."""
        return self.judge.packages

    @property
    def uses(self) -> Resource:
        """The resource that the judge keeps busy."""
        return self.judge.uses

    @property
    def _mined(self) -> Manifest:
        assert self.mined.manifest is not None, "mined pairs come from the store"
        return self.mined.manifest

    def inputs(self) -> dict[str, Any]:
        """Return all that the scores depend on."""
        return {
            "format": FORMAT,
            "mined": dict(self._mined.inputs),
            "judge": self.judge.fingerprint(),
            "limit": self.judge.limit,
            "parse_error_retries": self.judge.parse_error_retries,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the mined pairs and the corpus."""
        return {"mined": self._mined.reference, "corpus": self.corpus.reference}

    def caches(self) -> Sequence[Path]:
        """Return the folder of the responses."""
        return (responses_folder(self.data_dir),)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Ask the judge and write the pairs that got a score.

        Raises SigjepaError for a judge that breaks its contract or can't go on, and for a damaged response cache.
        """
        judged, counts = judge_pairs(self.mined, self.judge, self.corpus, self.data_dir)
        judged.write(out / FILE_NAME)
        highest = {"highest_cosim": self.mined.highest_cosim}
        metadata = {"judge": judged.judge, **self._mined.facts["metadata"], **highest, **counts}
        return {"pairs": len(judged), "metadata": metadata}

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the judged pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, manifest.facts["metadata"]["judge"], manifest)
