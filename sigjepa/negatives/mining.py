"""Mined pairs as an artifact: which train bodies the teacher puts close together, before anyone has judged them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sigjepa.artifacts import artifact_lock, atomic_path, content_key, file_digest, read_json, write_json
from sigjepa.errors import SigjepaError

if TYPE_CHECKING:
    from sigjepa.corpus.store import Corpus
    from sigjepa.negatives.knn import Pairs
    from sigjepa.teacher.shards import TeacherShards

FORMAT = 1  # raise it when the same inputs give other pairs or another file
FILE_NAME = "pairs.jsonl"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Mining:
    """Which pairs are mined; equal values over equal shards share one folder `mined/…`.

    neighbors: most neighbors of an anchor. min_cosim: lowest cosine of two bodies, inclusive. tiers: tiers of the
    corpus to mine, None is all. Only functions of the train split are mined. Raises SigjepaError for arguments out of
    range.
    """

    neighbors: int
    min_cosim: float
    tiers: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise SigjepaError(f"negatives.neighbors must be at least 1, got {self.neighbors}.")
        if not -1 <= self.min_cosim <= 1:
            raise SigjepaError(f"negatives.min_cosim must lie within [-1, 1], got {self.min_cosim}.")
        if isinstance(self.tiers, str) or (self.tiers is not None and not len(self.tiers)):
            raise SigjepaError(f"negatives.tiers must be a list such as [phase0,heads], or null, got {self.tiers!r}.")

    def inputs(self, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        """All that the pairs depend on."""
        return {
            "format": FORMAT,
            "corpus": corpus.hash,
            "shards": shards.folder.name,
            "neighbors": self.neighbors,
            "min_cosim": float(self.min_cosim),
            "tiers": None if self.tiers is None else sorted(set(map(str, self.tiers))),
        }

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> "Pairs":
        """The mined pairs, built or reused.

        Raises SigjepaError for an unknown tier, a train split without functions, shards of another corpus, and
        damaged files.
        """
        inputs = self.inputs(corpus, shards)
        folder = Path(data_dir) / "mined" / content_key(inputs)
        with artifact_lock(folder):
            if not (folder / MANIFEST).exists():
                _mine(folder, inputs, corpus, shards, self.tiers)
        return _read(folder)


def mined_ids(corpus: "Corpus", tiers: Sequence[str] | None) -> npt.NDArray[np.int64]:
    """Ids that may be mined; raises SigjepaError when there are none."""
    ids = corpus.ids("train", tiers)
    if not len(ids):
        raise SigjepaError(
            f"The train split of {corpus.folder} has no functions in {tiers or 'any tier'}: nothing to mine. "
            "Use a larger corpus, other tiers, or negatives=none."
        )
    return ids


def rows_of(shards: "TeacherShards", ids: npt.NDArray[np.int64], corpus: "Corpus") -> npt.NDArray[np.int64]:
    """Rows of `ids` in the shards; raises SigjepaError when they do not hold all of them."""
    rows = np.searchsorted(shards.ids, ids)
    if not np.array_equal(np.take(shards.ids, rows, mode="clip"), ids):
        raise SigjepaError(
            f"{shards.folder} does not hold every function of the corpus in {corpus.folder}; delete it and run "
            "`python -m sigjepa.prepare`."
        )
    return rows


def _mine(
    folder: Path, inputs: dict[str, Any], corpus: "Corpus", shards: "TeacherShards", tiers: Sequence[str] | None
) -> None:
    from sigjepa.negatives.knn import nearest_pairs  # noqa: PLC0415 - a warm cache needs no faiss

    ids = mined_ids(corpus, tiers)
    embeddings = shards.body_pooled[rows_of(shards, ids, corpus)].numpy()
    pairs = nearest_pairs(embeddings, ids, neighbors=inputs["neighbors"], min_cosim=inputs["min_cosim"])
    with atomic_path(folder / FILE_NAME) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for anchor, neighbor, cosim in zip(
            pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist(), strict=True
        ):
            stream.write(json.dumps({"anchor_id": anchor, "neighbor_id": neighbor, "cosim": cosim}) + "\n")
    manifest = {
        "inputs": inputs,
        "functions": len(ids),
        "pairs": len(pairs),
        "highest_cosim": pairs.highest_cosim,
        "digest": file_digest(folder / FILE_NAME),
    }
    write_json(folder / MANIFEST, manifest)


def _read(folder: Path) -> "Pairs":
    from sigjepa.negatives.knn import Pairs  # noqa: PLC0415 - see above

    manifest, path = read_json(folder / MANIFEST), folder / FILE_NAME
    if not path.exists() or file_digest(path) != manifest["digest"]:
        raise SigjepaError(
            f"{path} is missing or was altered after it was mined. Delete {folder} and run `python -m sigjepa.prepare`."
        )
    with path.open(encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    return Pairs(
        np.array([line["anchor_id"] for line in lines], dtype=np.int64),
        np.array([line["neighbor_id"] for line in lines], dtype=np.int64),
        np.array([line["cosim"] for line in lines], dtype=np.float64),
        manifest["highest_cosim"],
    )
