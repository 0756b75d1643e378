"""Hard negatives by anchor: what training looks up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.csr import CSR, Ids
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.summary import further_rows, markdown_table, published_rows
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Manifest, Reference, damaged, read_record, write_record

RELATED_FROM = 2
"""Lowest `score_c` of a false negative: such a body may be a right answer and must not be pushed away."""

FILE_NAME = "hard_negatives.npz"
METADATA_FILE = "metadata.json"

CSR_ARRAYS = ("keys", "offsets", "values")


class AnchorNegatives(NamedTuple):
    """The hard negatives of one anchor, nearest first: `ids`, `scores` (`score_c`) and `cosims`, each `[N]`."""

    ids: Ids
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]

    def at(self, positions: slice | Ids) -> "AnchorNegatives":
        """Return some of them."""
        return AnchorNegatives(self.ids[positions], self.scores[positions], self.cosims[positions])


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Negatives of each anchor, and the pairs that are too related to be negatives.

    negatives: negative ids by anchor, by descending cosine. scores, cosims: `[P]`, parallel to its values.
    related: ids judged `score_c >= 2`, symmetric. metadata: where it all came from. manifest: of the artifact that they
    were opened from.
    """

    negatives: CSR
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]
    related: CSR
    metadata: Mapping[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None

    @classmethod
    def from_judged(
        cls,
        judged: JudgedPairs,
        *,
        train_ids: Ids,
        pair_filter: PairFilter,
        similarities: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> "HardNegatives":
        """Keep the pairs that pass `pair_filter`, with both ids in the train split.

        train_ids: `[n]`, the whole train split, whether or not all of it was mined. similarities: what a
        positive-aware filter needs, `[P]` twice. provenance: further metadata.
        Raises SigjepaError when a judged id is not in the train split: val and test must never be mined.
        """
        ids = np.concatenate([judged.anchor_ids, judged.neighbor_ids])
        foreign = ids[~np.isin(ids, train_ids)]
        if len(foreign):
            raise SigjepaError(
                f"{len(np.unique(foreign))} judged functions are not in the train split, the first is {foreign[0]}; "
                "validation and test bodies must never become negatives. Use the corpus that was judged."
            )
        chosen = pair_filter.chosen(judged, similarities)
        related = judged.score_c >= RELATED_FROM
        metadata = {
            "judge": judged.judge,
            "filter": {**pair_filter.settings(), "split": "train"},
            "train_functions": len(train_ids),
            **(provenance or {}),
        }
        return cls(
            CSR.from_sorted(judged.anchor_ids[chosen], judged.neighbor_ids[chosen]),
            judged.score_c[chosen],
            judged.cosim[chosen],
            CSR.symmetric(judged.anchor_ids[related], judged.neighbor_ids[related]),
            metadata,
        )

    def __len__(self) -> int:
        return len(self.negatives.values)

    @property
    def reference(self) -> Reference | None:
        """The artifact as others name it; None for what was not opened from the store."""
        return None if self.manifest is None else self.manifest.reference

    def negatives_of(self, anchor: int) -> AnchorNegatives:
        """Return the negatives of `anchor`, nearest first; empty when it has none."""
        return self.negatives_of_each(np.array([anchor]))[0]

    def negatives_of_each(self, anchors: Ids) -> list[AnchorNegatives]:
        """Return the negatives of each of `anchors`, in their order."""
        places = (slice(*span) for span in zip(*(each.tolist() for each in self.negatives.spans(anchors)), strict=True))
        return [AnchorNegatives(self.negatives.values[at], self.scores[at], self.cosims[at]) for at in places]

    def related_to(self, anchor: int) -> Ids:
        """Return ids judged related or equivalent to `anchor`, ascending: false negatives, to be masked out."""
        return self.related.values[self.related.span(anchor)]

    def coverage(self, anchor_ids: Ids) -> float:
        """Return the share of `anchor_ids` that have at least one hard negative; 0 of no anchors is 0."""
        return float(np.isin(anchor_ids, self.negatives.keys).mean()) if len(anchor_ids) else 0.0

    def statistics(self) -> dict[str, int | float]:
        """Return the figures of the published summary table, by flat names."""
        anchors, train = len(self.negatives.keys), int(self.metadata.get("train_functions", 0))
        return {
            "pairs": len(self),
            "anchors": anchors,
            "train_functions": train,
            "coverage": anchors / train if train else 0.0,
            "score_c_0": int((self.scores == 0).sum()),
            "score_c_1": int((self.scores == 1).sum()),
            "related_pairs": len(self.related.values) // 2,
            "average_per_anchor": len(self) / anchors if anchors else 0.0,
        }

    def among(self, ids: Ids) -> "HardNegatives":
        """Return the pairs, related ones too, both of whose functions are among `ids` `[n]`: what is trained on."""
        kept, related = (
            np.isin(pairs.pair_keys(), ids) & np.isin(pairs.values, ids) for pairs in (self.negatives, self.related)
        )
        return replace(
            self,
            negatives=self.negatives.take(kept),
            scores=self.scores[kept],
            cosims=self.cosims[kept],
            related=self.related.take(related),
            metadata={**self.metadata, "train_functions": len(ids)},
        )

    def masking(self, other: "HardNegatives") -> "HardNegatives":
        """Return them with the related pairs of `other` masked, too."""
        return self.with_related(other.related.pair_keys(), other.related.values)

    def with_related(self, first: Ids, second: Ids) -> "HardNegatives":
        """Return them with the pairs `[R]` masked, too."""
        keys = np.concatenate([self.related.pair_keys(), first])
        return replace(self, related=CSR.symmetric(keys, np.concatenate([self.related.values, second])))

    def summary_rows(self) -> dict[str, str]:
        """Return value by statistic, as printed: the published table's rows first, then what is known beyond it."""
        figures = self.statistics()
        return published_rows(figures, self.metadata, None) | further_rows(figures, self.metadata)

    def summary_table(self, file_bytes: int | None = None) -> str:
        """Return the published summary table as Markdown, and a second one of what it does not say.

        file_bytes: size of the exported `hard_negatives.json`, where there is one.
        """
        figures = self.statistics()
        published = markdown_table("Statistic", published_rows(figures, self.metadata, file_bytes))
        return f"{published}\n\n{markdown_table('Beyond the published table', further_rows(figures, self.metadata))}"

    def write(self, path: Path) -> None:
        """Write the arrays; the metadata is not among them."""
        np.savez_compressed(
            path,
            scores=self.scores,
            cosims=self.cosims,
            **{f"negatives_{name}": getattr(self.negatives, name) for name in CSR_ARRAYS},
            **{f"related_{name}": getattr(self.related, name) for name in CSR_ARRAYS},
        )

    @classmethod
    def read(cls, path: Path, metadata: Mapping[str, Any], manifest: Manifest | None = None) -> "HardNegatives":
        """Return what `write` wrote, whose file was verified."""
        with np.load(path, allow_pickle=False) as arrays:
            negatives, related = (
                CSR(*(arrays[f"{prefix}_{name}"] for name in CSR_ARRAYS)) for prefix in ("negatives", "related")
            )
            return cls(negatives, arrays["scores"], arrays["cosims"], related, metadata, manifest)

    def save(self, folder: Path) -> None:
        """Write arrays and metadata to a folder outside of the store, for `load`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write(folder / FILE_NAME)
        write_record(folder / METADATA_FILE, {**self.metadata, "digest": file_digest(folder / FILE_NAME)})

    @classmethod
    def load(cls, folder: Path) -> "HardNegatives":
        """Return what `save` wrote; raises SigjepaError where it is missing, and DamagedError where it was altered."""
        metadata = read_record(folder / METADATA_FILE)
        path = folder / FILE_NAME
        if not path.is_file() or file_digest(path) != metadata.pop("digest", None):
            raise damaged(path, "is missing or was altered after it was written", folder)
        return cls.read(path, metadata)
