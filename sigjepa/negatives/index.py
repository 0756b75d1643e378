"""Hard negatives by anchor: what training looks up, and the published file format it is kept in."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sigjepa.artifacts import atomic_path, file_digest, read_json
from sigjepa.errors import SigjepaError
from sigjepa.negatives.filters import PairFilter
from sigjepa.negatives.judged import JudgedPairs, is_cosine, is_integer, is_score

FILE_NAME = "hard_negatives.json"
META_NAME = "hard_negatives.meta.json"
RELATED_FROM = 2
"""Lowest `score_c` of a false negative: such a body may be a right answer and must not be pushed away."""

Ids = npt.NDArray[np.int64]


class AnchorNegatives(NamedTuple):
    """The hard negatives of one anchor, nearest first: `ids`, `scores` (`score_c`) and `cosims`, each `[N]`."""

    ids: Ids
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]

    def at(self, positions: slice | Ids) -> "AnchorNegatives":
        """Some of them."""
        return AnchorNegatives(self.ids[positions], self.scores[positions], self.cosims[positions])


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Lists of ids by key as three arrays (CSR): `keys [K]` ascending, `offsets [K + 1]`, `values [P]`."""

    keys: Ids
    offsets: Ids
    values: Ids

    @classmethod
    def from_sorted(cls, keys: Ids, values: Ids) -> "Adjacency":
        """From one key per value `[P]`, ascending."""
        unique, starts = np.unique(keys, return_index=True)
        return cls(unique, np.append(starts, len(keys)).astype(np.int64), values)

    def span(self, key: int) -> slice:
        """Where the values of `key` lie; empty for an unknown key."""
        position = int(np.searchsorted(self.keys, key))
        if position == len(self.keys) or self.keys[position] != key:
            return slice(0, 0)
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))

    def to_lists(self, column: npt.NDArray[Any]) -> dict[str, list[Any]]:
        """`column [P]`, parallel to the values, as JSON lists by key."""
        bounds = self.offsets.tolist()
        flat = column.tolist()
        return {
            str(key): flat[start:stop] for key, start, stop in zip(self.keys.tolist(), bounds, bounds[1:], strict=False)
        }


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Negatives of each anchor, and the pairs that are too related to be negatives.

    negatives: negative ids by anchor, by descending cosine. scores, cosims: `[P]`, parallel to its values.
    related: ids judged `score_c >= 2`, symmetric. metadata: where it all came from. folder: where it was loaded from.
    """

    negatives: Adjacency
    scores: npt.NDArray[np.int8]
    cosims: npt.NDArray[np.float64]
    related: Adjacency
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
        metadata = {
            "judge": judged.judge,
            "filter": {**pair_filter.settings(), "split": "train"},
            "train_functions": len(train_ids),
            **(provenance or {}),
        }
        return cls(
            Adjacency.from_sorted(judged.anchor_ids[chosen], judged.neighbor_ids[chosen]),
            judged.score_c[chosen],
            judged.cosim[chosen],
            _symmetric(judged, judged.score_c >= RELATED_FROM),
            metadata,
        )

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

    def summary_rows(self) -> dict[str, str]:
        """The published summary table: value by statistic, as printed."""
        figures, limits = self.statistics(), self.metadata.get("filter", {})
        file = f"`{FILE_NAME}`"
        if self.folder is not None:
            file += f" ({(self.folder / FILE_NAME).stat().st_size / 1e6:.1f} MB)"
        return {
            "Source": f"`{self.metadata.get('source', 'unknown')}`",
            "Judge": self.metadata.get("judge", "unknown"),
            "Filter": f"cosim ≥ {limits.get('min_cosim', float('nan')):.2f}, score_c ≤ {limits.get('max_score_c')}, "
            "both IDs in train split",
            "Total pairs": f"{figures['pairs']:,}",
            "Unique anchors": f"{figures['anchors']:,} ({figures['coverage']:.0%} of train split)",
            "score_c=0 pairs": f"{figures['score_c_0']:,}",
            "score_c=1 pairs": f"{figures['score_c_1']:,}",
            "score_c≥2 pairs, masked as related": f"{figures['related_pairs']:,}",
            "Avg hard negs per anchor": f"{figures['average_per_anchor']:.1f}",
            "File": file,
        }

    def summary_table(self) -> str:
        """The published summary table, as Markdown."""
        rows = self.summary_rows().items()
        return "\n".join(["| Statistic | Value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])

    def save(self, folder: Path) -> None:
        """Write `hard_negatives.json` in the published format and, beside it, `hard_negatives.meta.json`."""
        path = folder / FILE_NAME
        _write_compact(path, self.negatives.to_lists(self.negatives.values))
        meta = {
            **self.metadata,
            "statistics": self.statistics(),
            "digest": file_digest(path),
            "scores": self.negatives.to_lists(self.scores),
            "cosims": self.negatives.to_lists(self.cosims),
            "related": self.related.to_lists(self.related.values),
        }
        _write_compact(folder / META_NAME, meta)

    @classmethod
    def load(cls, folder: Path, n_functions: int) -> "HardNegatives":
        """Read what `save` wrote, for a corpus of `n_functions`.

        Raises SigjepaError naming the file when one is missing, altered or damaged, holds ids outside the corpus,
        a score or cosine out of range, an anchor among its own negatives, or a pair twice.
        """
        path, meta_path = folder / FILE_NAME, folder / META_NAME
        lists, meta = read_json(path), read_json(meta_path)
        if not isinstance(meta, dict) or not {"digest", "scores", "cosims", "related"} <= meta.keys():
            raise _damaged(meta_path, "lacks one of digest, scores, cosims, related")
        if (digest := file_digest(path)) != meta["digest"]:
            raise _damaged(path, f"was altered: its digest is {digest}, but {META_NAME} says {meta['digest']}")
        negatives = _adjacency(lists, path, n_functions)
        related = _adjacency(meta["related"], meta_path, n_functions)
        scores = _parallel(
            meta["scores"], lists, name="scores", valid=is_score, expected="one of 0, 1, 2, 3", path=meta_path
        )
        cosims = _parallel(
            meta["cosims"], lists, name="cosims", valid=is_cosine, expected="within [-1, 1]", path=meta_path
        )
        metadata = {
            key: value for key, value in meta.items() if key not in ("statistics", "scores", "cosims", "related")
        }
        return cls(negatives, np.array(scores, np.int8), np.array(cosims, np.float64), related, metadata, folder)


def _symmetric(judged: JudgedPairs, chosen: npt.NDArray[np.bool_]) -> Adjacency:
    """The chosen pairs in both directions, whichever of them was mined."""
    one, other = judged.anchor_ids[chosen], judged.neighbor_ids[chosen]
    both = np.unique(np.stack([np.concatenate([one, other]), np.concatenate([other, one])], axis=1), axis=0)
    return Adjacency.from_sorted(both[:, 0], both[:, 1])


def _write_compact(path: Path, value: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _damaged(path: Path, problem: str) -> SigjepaError:
    return SigjepaError(f"{path} {problem}; delete {path.parent} and run `python -m sigjepa.prepare`.")


def _by_anchor(lists: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return iter(sorted(lists.items(), key=lambda item: int(item[0])))


def _adjacency(lists: Any, path: Path, n_functions: int) -> Adjacency:
    """Check and convert `{"<id>": [id, …]}`."""
    if not isinstance(lists, dict):
        raise _damaged(path, "is not an object of id lists")
    for key, values in lists.items():
        if not (key.isascii() and key.isdecimal() and str(int(key)) == key):
            raise _damaged(path, f"has the key {key!r}, which is no function id")
        if not (isinstance(values, list) and values and all(map(is_integer, values))):
            raise _damaged(path, f"holds no list of function ids under {key!r}")
    ordered = [(int(key), values) for key, values in _by_anchor(lists)]
    keys = np.repeat(np.array([key for key, _ in ordered], np.int64), [len(values) for _, values in ordered])
    values = np.array([value for _, values in ordered for value in values], np.int64)
    ids = np.concatenate([keys, values])
    foreign = ids[(ids < 0) | (ids >= n_functions)]
    if len(foreign):
        raise _damaged(
            path,
            f"names {len(np.unique(foreign))} function ids that are not in the corpus of {n_functions:,} functions "
            f"(the first is {foreign[0]}), so it was mined from another corpus",
        )
    if (itself := keys[keys == values]).size:
        raise _damaged(path, f"pairs function {itself[0]} with itself")
    pairs, counts = np.unique(np.stack([keys, values], axis=1), axis=0, return_counts=True)
    if (repeated := pairs[counts > 1]).size:
        raise _damaged(path, f"holds the pair ({repeated[0, 0]}, {repeated[0, 1]}) twice")
    return Adjacency.from_sorted(keys, values)


def _parallel(
    column: Any, lists: Mapping[str, Any], *, name: str, valid: Callable[[Any], bool], expected: str, path: Path
) -> list[Any]:
    """The values of `column`, which must hold a `valid` one for each id of `lists`."""
    if not (
        isinstance(column, dict)
        and column.keys() == lists.keys()
        and all(isinstance(column[key], list) and len(column[key]) == len(values) for key, values in lists.items())
    ):
        raise _damaged(path, f"does not have one of its {name} for each pair of {FILE_NAME}")
    for key, values in column.items():
        for value in values:
            if not valid(value):
                raise _damaged(path, f"has {value!r} among the {name} of function {key}, which is not {expected}")
    return [value for _, values in _by_anchor(column) for value in values]
