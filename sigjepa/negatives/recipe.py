"""From teacher shards to hard negatives: mine, judge, filter; judged pairs outlive a changed filter."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sigjepa.artifacts import artifact_lock, content_key, file_digest, read_json, write_json
from sigjepa.errors import SigjepaError
from sigjepa.negatives.index import HardNegatives
from sigjepa.negatives.judged import FILE_NAME, JudgedPairs
from sigjepa.negatives.judges.contract import SCORES, Judge, JudgeRequest
from sigjepa.progress import progress

if TYPE_CHECKING:
    from sigjepa.corpus.store import Corpus
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)

FORMAT = 1  # raise it when the same inputs give other pairs or another file
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class NegativesRecipe:
    """How hard negatives are made, and the artifacts of it: judged pairs, and the index filtered from them.

    Only functions of the train split are mined. `judged/…` is keyed by corpus, shards, `neighbors`, `min_cosim`,
    `tiers` and judge; `negatives/…` by that and `max_score_c`, so that changing the latter judges nothing again.

    Args:
        judge: scores the mined pairs.
        neighbors: most neighbors of an anchor that are judged.
        min_cosim: lowest cosine of two bodies in the teacher's space, inclusive.
        max_score_c: highest score of a negative, 0 or 1; related pairs (2, 3) are masked, never negatives.
        tiers: tiers of the corpus to mine, for instance `[phase0]` to reproduce the published coverage; None is all.

    Raises SigjepaError for arguments out of range.
    """

    judge: Judge
    neighbors: int = 8
    min_cosim: float = 0.80
    max_score_c: int = 1
    tiers: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise SigjepaError(f"negatives.neighbors must be at least 1, got {self.neighbors}.")
        if not -1 <= self.min_cosim <= 1:
            raise SigjepaError(f"negatives.min_cosim must lie within [-1, 1], got {self.min_cosim}.")
        if self.max_score_c not in (0, 1):
            raise SigjepaError(
                f"negatives.max_score_c must be 0 or 1, got {self.max_score_c}: pairs scored 2 or 3 are related, and "
                "the loss masks them as false negatives."
            )
        if isinstance(self.tiers, str) or (self.tiers is not None and not len(self.tiers)):
            raise SigjepaError(f"negatives.tiers must be a list such as [phase0,heads], or null, got {self.tiers!r}.")

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> HardNegatives:
        """Build the hard negatives of a corpus, or reuse those already built from the same inputs.

        When no pair passes, the index is empty and a warning says why. Raises SigjepaError for an unknown tier, a
        train split without functions, a judge that breaks its contract, and damaged artifacts.
        """
        judged_inputs = self._judged_inputs(corpus, shards)
        inputs = {"judged": judged_inputs, "max_score_c": self.max_score_c}
        folder = Path(data_dir) / "negatives" / f"{self._slug()}-{content_key(inputs)}"
        if not (folder / MANIFEST).exists():
            with artifact_lock(folder):
                if not (folder / MANIFEST).exists():  # another process may have built it while this one waited
                    judged_folder = self._judged(Path(data_dir), judged_inputs, corpus, shards)
                    self._filter(folder, inputs, judged_folder, corpus)
        hard_negatives = HardNegatives.load(folder, len(corpus))
        if not len(hard_negatives):
            self._warn_of_nothing(hard_negatives)
        return hard_negatives

    def _judged_inputs(self, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        return {
            "format": FORMAT,
            "corpus": corpus.hash,
            "shards": shards.folder.name,
            "neighbors": self.neighbors,
            "min_cosim": float(self.min_cosim),
            "tiers": None if self.tiers is None else sorted(set(map(str, self.tiers))),
            "judge": self.judge.fingerprint(),
        }

    def _slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.judge.name.lower()).strip("-")

    def _judged(self, data_dir: Path, inputs: dict[str, Any], corpus: "Corpus", shards: "TeacherShards") -> Path:
        """Folder of the judged pairs, built or reused."""
        folder = data_dir / "judged" / f"{self._slug()}-{content_key(inputs)}"
        with artifact_lock(folder):
            if not (folder / MANIFEST).exists():
                self._judge(folder, inputs, corpus, shards)
        return folder

    def _filter(self, folder: Path, inputs: dict[str, Any], judged_folder: Path, corpus: "Corpus") -> None:
        """Write the index of the judged pairs that pass, and its manifest."""
        manifest = read_json(judged_folder / MANIFEST)
        judged = self._read_judged(judged_folder, manifest)
        hard_negatives = HardNegatives.from_judged(
            judged,
            train_ids=corpus.ids("train"),
            min_cosim=self.min_cosim,
            max_score_c=self.max_score_c,
            provenance={
                "source": f"judged/{judged_folder.name}/{FILE_NAME}",
                "source_digest": manifest["digest"],
                "inputs": inputs["judged"],
                "judged_pairs": len(judged),
                "highest_cosim": manifest["highest_cosim"],
            },
        )
        hard_negatives.save(folder)
        write_json(folder / MANIFEST, {"inputs": inputs, "statistics": hard_negatives.statistics()})
        logger.info("Hard negatives in %s: %s", folder, hard_negatives.statistics())

    def _judge(self, folder: Path, inputs: dict[str, Any], corpus: "Corpus", shards: "TeacherShards") -> None:
        """Mine and judge: write `knn_results.jsonl` and its manifest."""
        from sigjepa.negatives.knn import nearest_pairs  # noqa: PLC0415 - a warm cache needs no faiss

        ids = self._mined_ids(corpus)
        rows = np.searchsorted(shards.ids, ids)
        if not np.array_equal(np.take(shards.ids, rows, mode="clip"), ids):
            raise SigjepaError(
                f"{shards.folder} does not hold every function of the corpus in {corpus.folder}; delete it and run "
                "`python -m sigjepa.prepare`."
            )
        pairs = nearest_pairs(shards.body_pooled[rows].numpy(), ids, neighbors=self.neighbors, min_cosim=self.min_cosim)
        # The judge is symmetric: (a, b) and (b, a) are one question, and its answer goes to both lines.
        unordered = np.stack(
            [np.minimum(pairs.anchor_ids, pairs.neighbor_ids), np.maximum(pairs.anchor_ids, pairs.neighbor_ids)], axis=1
        )
        questions, first, question_of = np.unique(unordered, axis=0, return_index=True, return_inverse=True)
        question_of = question_of.reshape(-1)  # numpy 2.0 alone gives it a second dimension
        scores, reasons = self._ask(questions, pairs.cosim[first], corpus)
        judged = JudgedPairs(
            pairs.anchor_ids,
            pairs.neighbor_ids,
            pairs.cosim,
            scores[question_of],
            self.judge.name,
            [reasons[question] for question in question_of.tolist()],
        )
        judged.write(folder / FILE_NAME)
        manifest = {
            "inputs": inputs,
            "functions": len(ids),
            "pairs": len(judged),
            "highest_cosim": pairs.highest_cosim,
            "digest": file_digest(folder / FILE_NAME),
        }
        write_json(folder / MANIFEST, manifest)

    def _mined_ids(self, corpus: "Corpus") -> npt.NDArray[np.int64]:
        ids = corpus.ids("train", self.tiers)
        if not len(ids):
            raise SigjepaError(
                f"The train split of {corpus.folder} has no functions in {self.tiers or 'any tier'}: nothing to mine. "
                "Use a larger corpus, other tiers, or negatives=none."
            )
        return ids

    def _ask(
        self, questions: npt.NDArray[np.int64], cosim: npt.NDArray[np.float64], corpus: "Corpus"
    ) -> tuple[npt.NDArray[np.int8], list[str]]:
        """Score and reason of each question `[Q, 2]`."""
        requests = self._requests(questions, cosim, corpus)
        scores: list[int] = []
        reasons: list[str] = []
        description = f"Judging, {self.judge.name}"
        for judgement in progress(self.judge.judge(requests), description, total=len(questions), unit="pair"):
            if judgement.score_c not in SCORES:
                raise SigjepaError(
                    f"The judge '{self.judge.name}' gave pair {tuple(questions[len(scores)].tolist())} score_c="
                    f"{judgement.score_c!r}; scores are 0, 1, 2 and 3."
                )
            scores.append(judgement.score_c)
            reasons.append(judgement.reason)
        if len(scores) != len(questions):
            raise SigjepaError(
                f"The judge '{self.judge.name}' gave {len(scores)} judgements for {len(questions)} pairs; a judge must "
                "answer every request once, in order."
            )
        return np.array(scores, dtype=np.int8), reasons

    @staticmethod
    def _requests(
        questions: npt.NDArray[np.int64], cosim: npt.NDArray[np.float64], corpus: "Corpus"
    ) -> Iterator[JudgeRequest]:
        signatures, bodies = corpus.column("signature"), corpus.column("body")
        for (one, other), cosine in zip(questions.tolist(), cosim.tolist(), strict=True):
            yield JudgeRequest(one, other, cosine, signatures[one], bodies[one], signatures[other], bodies[other])

    def _read_judged(self, folder: Path, manifest: dict[str, Any]) -> JudgedPairs:
        path = folder / FILE_NAME
        if not path.exists():
            raise SigjepaError(f"{path} is missing; delete {folder} and run `python -m sigjepa.prepare`.")
        judged = JudgedPairs.read(path, self.judge.name)  # a broken line is named before the digest is compared
        if file_digest(path) != manifest["digest"]:
            raise SigjepaError(
                f"{path} was altered after it was judged: its digest is not that of {MANIFEST}. Delete {folder} and "
                "run `python -m sigjepa.prepare` to judge again."
            )
        return judged

    def _warn_of_nothing(self, hard_negatives: HardNegatives) -> None:
        judged, highest = hard_negatives.metadata["judged_pairs"], hard_negatives.metadata["highest_cosim"]
        if judged:
            reason = f"none of the {judged} judged pairs has score_c <= {self.max_score_c}"
        else:
            reason = f"no two bodies reach min_cosim={self.min_cosim:.2f}" + (
                f", the highest cosine is {highest:.4f}" if highest is not None else " (fewer than two functions)"
            )
        logger.warning(
            "There are no hard negatives: %s. Lower negatives.min_cosim, raise negatives.max_score_c, or train with "
            "negatives=none.",
            reason,
        )
