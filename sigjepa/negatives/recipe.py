"""From teacher shards to hard negatives: mine, judge, filter; judged pairs outlive a changed filter."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sigjepa.errors import SigjepaError
from sigjepa.negatives.dependencies import data_upstream, judge_packages
from sigjepa.negatives.exchange.index_file import FILE_NAME as INDEX_FILE
from sigjepa.negatives.exchange.index_file import LAYOUT, META_NAME
from sigjepa.negatives.exchange.metadata import origin
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.load_verified import open_index
from sigjepa.negatives.index.pair_filter import PairFilter, similarities_for
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.judging.judged_pairs import FILE_NAME, JudgedPairs
from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.negatives.judging.response_cache import slug
from sigjepa.negatives.judging.runner import judge_pairs
from sigjepa.negatives.mining.mined import Mining
from sigjepa.negatives.mining.search import Search
from sigjepa.store.artifacts import (
    artifact_lock,
    content_key,
    damaged,
    file_digest,
    read_json,
    read_manifest,
    write_manifest,
)
from sigjepa.store.origin import MADE, made, upstream_of

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.negatives.mining.knn import Pairs
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)

FORMAT = 1  # raise it when the same inputs give other pairs or another file
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class NegativesRecipe:
    """How hard negatives are made, and the artifacts of it: judged pairs, and the index filtered from them.

    Only functions of the train split are mined. `mined/…` is keyed by corpus, shards, `top_k`,
    `filter.min_cosim`, `tiers` and `search`, `judged/…` by that and the judge, `negatives/…` by that and the filter:
    another judge mines nothing again, another filter judges nothing again.

    Args:
        judge: scores the mined pairs.
        filter: which of the judged pairs become negatives; nothing below its `min_cosim` is mined.
        sampler: which of its negatives an anchor brings to a step.
        top_k: most neighbors of an anchor that are judged.
        tiers: tiers of the corpus to mine, for instance `[phase0]` to reproduce the published coverage; None is all.
        search: how neighbors are found: exactly, or in a large corpus approximately, with measured recall.

    Raises SigjepaError for arguments out of range.
    """

    judge: Judge
    filter: PairFilter = field(default_factory=lambda: PairFilter(min_cosim=0.80))
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    top_k: int = 8
    tiers: Sequence[str] | None = None
    search: Search = field(default_factory=Search)

    gives: ClassVar[Sequence[str]] = ("mined_negatives",)

    def __post_init__(self) -> None:
        self._mining()  # checks its own arguments

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> HardNegatives:
        """Build the hard negatives of a corpus, or reuse those already built from the same inputs.

        When no pair passes, the index is empty and a warning says why. Raises SigjepaError for an unknown tier, a
        train split without functions, a judge that breaks its contract, and damaged artifacts.
        """
        judged_inputs = self._judged_inputs(corpus, shards)
        inputs = {"layout": LAYOUT, "judged": judged_inputs, "filter": self.filter.settings()}
        folder = Path(data_dir) / "negatives" / f"{slug(self.judge.name)}-{content_key(inputs)}"
        if not (folder / MANIFEST).exists():
            with artifact_lock(folder):
                if not (folder / MANIFEST).exists():  # another process may have built it while this one waited
                    pairs = self.pairs(corpus, shards, Path(data_dir))
                    judged_folder = self._judged(Path(data_dir), judged_inputs, corpus, shards, pairs)
                    self._filter(folder, inputs, judged_folder, corpus, shards, pairs)
        hard_negatives = open_index(folder, len(corpus))
        if not len(hard_negatives):
            self._warn_of_nothing(hard_negatives)
        return hard_negatives

    def verify(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> None:
        """Check the mined and the judged pairs, too, which an index that is there does without; raises DamagedError."""
        pairs = self.pairs(corpus, shards, data_dir)
        folder = self._judged(Path(data_dir), self._judged_inputs(corpus, shards), corpus, shards, pairs)
        self._read_judged(folder, read_manifest(folder / MANIFEST, ("digest", "inputs")))
        self.prepare(corpus, shards, data_dir)

    def _judged_inputs(self, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        return {
            "format": FORMAT,
            "mined": self._mining().inputs(corpus, shards),
            "judge": self.judge.fingerprint(),
            "limit": self.judge.limit,
            "parse_error_retries": self.judge.parse_error_retries,
        }

    def _judged_folder(self, data_dir: Path, inputs: dict[str, Any]) -> Path:
        return data_dir / "judged" / f"{slug(self.judge.name)}-{content_key(inputs)}"

    def pairs(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> "Pairs":
        """The mined pairs that the judge is asked about, built or reused; raises what `Mining.prepare` does."""
        return self._mining().prepare(corpus, shards, data_dir)

    def _mining(self) -> Mining:
        return Mining(self.top_k, self.filter.min_cosim, self.tiers, self.search)

    def _judged(
        self, data_dir: Path, inputs: dict[str, Any], corpus: "Corpus", shards: "TeacherShards", pairs: "Pairs"
    ) -> Path:
        """Folder of the judged pairs, built or reused."""
        folder = self._judged_folder(data_dir, inputs)
        with artifact_lock(folder):
            if not (folder / MANIFEST).exists():
                judging = judge_pairs(pairs, self.judge, corpus, data_dir)
                judging.judged.write(folder / FILE_NAME)
                mined_folder = data_dir / "mined" / content_key(inputs["mined"])
                mined = upstream_of(mined_folder, read_json(mined_folder / MANIFEST)["digest"])
                manifest = {
                    "inputs": inputs,
                    "pairs": len(judging.judged),
                    "parse_errors": judging.parse_errors,
                    "not_asked": judging.not_asked,
                    "digest": file_digest(folder / FILE_NAME),
                    MADE: made(judge_packages(self.judge), {"mined": mined, **data_upstream(corpus, shards)}),
                }
                write_manifest(folder / MANIFEST, manifest)
        return folder

    def _filter(
        self,
        folder: Path,
        inputs: dict[str, Any],
        judged_folder: Path,
        corpus: "Corpus",
        shards: "TeacherShards",
        pairs: "Pairs",
    ) -> None:
        """Write the index of the judged pairs that pass, and its manifest."""
        manifest = read_manifest(judged_folder / MANIFEST, ("digest", "inputs"))
        judged = self._read_judged(judged_folder, manifest)
        hard_negatives = HardNegatives.from_judged(
            judged,
            train_ids=corpus.ids("train"),
            pair_filter=self.filter,
            similarities=similarities_for(self.filter, judged, shards),
            provenance={
                **origin(corpus, shards),
                "source": f"judged/{judged_folder.name}/{FILE_NAME}",
                "judged_file": f"judged/{judged_folder.name}/{FILE_NAME}",
                "source_digest": manifest["digest"],
                "inputs": manifest["inputs"],
                "judged_pairs": len(judged),
                "highest_cosim": pairs.highest_cosim,
            },
        )
        hard_negatives.save(folder)
        upstream = {"judged": upstream_of(judged_folder, manifest["digest"]), **data_upstream(corpus, shards)}
        record = made(("numpy",), upstream, [folder / INDEX_FILE, folder / META_NAME])
        write_manifest(folder / MANIFEST, {"inputs": inputs, "statistics": hard_negatives.statistics(), MADE: record})
        logger.info("Hard negatives in %s: %s", folder, hard_negatives.statistics())

    def _read_judged(self, folder: Path, manifest: dict[str, Any]) -> JudgedPairs:
        path = folder / FILE_NAME
        if not path.exists():
            raise damaged(path, "is missing", folder)
        try:
            judged = JudgedPairs.read(path, self.judge.name)  # a broken line is named before the digest is compared
        except SigjepaError as error:
            raise damaged(path, f"is damaged ({error})", folder) from None
        if file_digest(path) != manifest["digest"]:
            raise damaged(path, f"was altered after it was judged: its digest is not that of {MANIFEST}", folder)
        return judged

    def _warn_of_nothing(self, hard_negatives: HardNegatives) -> None:
        judged, highest = hard_negatives.metadata["judged_pairs"], hard_negatives.metadata["highest_cosim"]
        if judged:
            reason = f"none of the {judged} judged pairs passes the filter {hard_negatives.metadata['filter']}"
        else:
            reason = f"no two bodies reach min_cosim={self.filter.min_cosim:.2f}" + (
                f", the highest cosine is {highest:.4f}" if highest is not None else " (fewer than two functions)"
            )
        logger.warning(
            "There are no hard negatives: %s. Lower negatives.filter.min_cosim, raise negatives.filter.max_score_c, "
            "widen another "
            "bound, or train with negatives=none.",
            reason,
        )
