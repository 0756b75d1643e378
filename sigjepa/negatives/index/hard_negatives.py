"""Hard negatives by anchor: what training looks up, and the published file format it is kept in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import FILE_NAME, META_NAME, read_index, write_lists, write_meta
from sigjepa.negatives.index.csr import CSR, Ids
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.summary import further_rows, markdown_table, published_rows
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Reference

RELATED_FROM = 2
"""Lowest `score_c` of a false negative: such a body may be a right answer and must not be pushed away."""


class AnchorNegatives(NamedTuple):
    """The hard negatives of one anchor, nearest first: `ids`, `scores` (`score_c`) and `cosims`, each `[N]`."""

    ids: Ids
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]

    def at(self, positions: slice | Ids) -> "AnchorNegatives":
        """Some of them."""
        return AnchorNegatives(self.ids[positions], self.scores[positions], self.cosims[positions])


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Negatives of each anchor, and the pairs that are too related to be negatives.

    negatives: negative ids by anchor, by descending cosine. scores, cosims: `[P]`, parallel to its values.
    related: ids judged `score_c >= 2`, symmetric. metadata: where it all came from. folder: where it was loaded from.
    """

    negatives: CSR
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]
    related: CSR
    metadata: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

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
                "validation and test bodies must never become negatives. Delete the folder of knn_results.jsonl and "
                "run `python -m sigjepa.prepare`."
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

    @property
    def reference(self) -> Reference | None:
        """The artifact as others name it; None for what was not loaded from one."""
        digest = str(self.metadata.get("digest"))
        return None if self.folder is None else Reference("negatives", self.folder.name, digest, digest)

    def __len__(self) -> int:
        return len(self.negatives.values)

    def negatives_of(self, anchor: int) -> AnchorNegatives:
        """The negatives of `anchor`, nearest first; empty when it has none."""
        span = self.negatives.span(anchor)
        return AnchorNegatives(self.negatives.values[span], self.scores[span], self.cosims[span])

    def related_to(self, anchor: int) -> Ids:
        """Ids judged related or equivalent to `anchor`, ascending: false negatives, to be masked out."""
        return self.related.values[self.related.span(anchor)]

    def coverage(self, anchor_ids: Ids) -> float:
        """Share of `anchor_ids` that have at least one hard negative; 0 of no anchors is 0."""
        return float(np.isin(anchor_ids, self.negatives.keys).mean()) if len(anchor_ids) else 0.0

    def statistics(self) -> dict[str, int | float]:
        """The figures of the published summary table, by flat names."""
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

    def restricted(self, ids: Ids, max_score_c: int = RELATED_FROM - 1) -> "HardNegatives":
        """The pairs both of whose functions are among `ids`, scored at most `max_score_c`."""
        anchors = self.negatives.pair_keys()
        kept = np.isin(anchors, ids) & np.isin(self.negatives.values, ids) & (self.scores <= max_score_c)
        one, other = self.related.pair_keys(), self.related.values
        related = np.isin(one, ids) & np.isin(other, ids)
        return replace(
            self,
            negatives=CSR.from_sorted(anchors[kept], self.negatives.values[kept]),
            scores=self.scores[kept],
            cosims=self.cosims[kept],
            related=CSR.from_sorted(one[related], other[related]),
            folder=None,
        )

    def masking(self, other: "HardNegatives") -> "HardNegatives":
        """With the related pairs of `other` masked, too."""
        one = np.concatenate([self.related.pair_keys(), other.related.pair_keys()])
        return replace(self, related=CSR.symmetric(one, np.concatenate([self.related.values, other.related.values])))

    def summary_rows(self) -> dict[str, str]:
        """Value by statistic, as printed: the rows of the published table first, then what is known beyond it."""
        figures = self.statistics()
        return published_rows(figures, self.metadata, self.folder) | further_rows(figures, self.metadata)

    def summary_table(self) -> str:
        """The published summary table as Markdown, and a second one of what it does not say."""
        figures = self.statistics()
        published = markdown_table("Statistic", published_rows(figures, self.metadata, self.folder))
        return f"{published}\n\n{markdown_table('Beyond the published table', further_rows(figures, self.metadata))}"

    def save(self, folder: Path, ids: FunctionIds | None = None) -> None:
        """Write `hard_negatives.json` in the published format and, beside it, `hard_negatives.meta.json`.

        ids: how the files name functions; None is by position, which is what `load` reads.
        """

        def named(adjacency: CSR, column: npt.NDArray[Any], *, of_ids: bool = False) -> dict[Any, Sequence[Any]]:
            lists: Mapping[Any, Sequence[Any]] = adjacency.to_lists(column)
            if ids is None:
                return dict(lists)
            values = [ids.names(row) if of_ids else row for row in lists.values()]
            return dict(zip(ids.names(lists), values, strict=True))

        path = folder / FILE_NAME
        write_lists(path, named(self.negatives, self.negatives.values, of_ids=True))
        meta = {
            **self.metadata,
            "statistics": self.statistics(),
            "digest": file_digest(path),
            "scores": named(self.negatives, self.scores),
            "cosims": named(self.negatives, self.cosims),
            "related": named(self.related, self.related.values, of_ids=True),
        }
        write_meta(folder / META_NAME, meta)

    @classmethod
    def load(cls, folder: Path, n_functions: int) -> "HardNegatives":
        """Read what `save` wrote, for a corpus of `n_functions`.

        Raises SigjepaError naming the file when one is missing, altered or damaged, holds ids outside the corpus,
        a score or cosine out of range, an anchor among its own negatives, or a pair twice.
        """
        way_out = f"delete {folder} and run `python -m sigjepa.prepare`."
        pairs = read_index(folder / FILE_NAME, folder / META_NAME, FunctionIds(n_functions), way_out=way_out)
        assert pairs.scores is not None, "read with its meta file"
        assert pairs.cosims is not None, "read with its meta file"
        return cls.from_columns(
            pairs.anchors, pairs.negatives, pairs.scores, pairs.cosims, pairs.related, pairs.metadata, folder
        )

    @classmethod
    def from_columns(
        cls,
        anchors: Ids,
        negatives: Ids,
        scores: Sequence[int],
        cosims: Sequence[float],
        related: Ids,
        metadata: Mapping[str, Any],
        folder: Path | None = None,
    ) -> "HardNegatives":
        """From parallel columns `[P]` in any order of anchors, each one's negatives in theirs, and `related [R, 2]`."""
        order = np.argsort(anchors, kind="stable")
        return cls(
            CSR.from_sorted(anchors[order], negatives[order]),
            np.asarray(scores, np.int8)[order],
            np.asarray(cosims, np.float64)[order],
            CSR.symmetric(related[:, 0], related[:, 1]),
            metadata,
            folder,
        )
