"""Embeddings and scores that are made up, so that neither a teacher nor a judge is measured.

Embeddings come in families around topics, as those of functions do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import xxhash

from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.stage import FILE_NAME
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage
from sigjepa.teacher.encoder import Encoded


class MadeUpTeacher:
    """A vector for each text by its hash, and that one vector as its only state: `pooled-only` input.

    A text belongs to one of `families`, and a family to one of 64 topics. functions: of the corpus, which families grow
    with.
    """

    name = "made_up"
    max_signature_tokens = max_body_tokens = 1

    def __init__(self, functions: int, dim: int = 384) -> None:
        self.families = max(1, functions // 8)
        self.dim = dim

    def fingerprint(self) -> dict[str, Any]:
        """Return what the vectors depend on."""
        return {"name": self.name, "families": self.families, "dim": self.dim}

    def encode(self, texts: Sequence[str], max_tokens: int, keep_states: bool = True, advance: Any = None) -> Encoded:
        """Return the vectors of the texts `[n, D]`."""
        table = np.random.default_rng(0).standard_normal((4096, self.dim), np.float32)
        own = np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)
        family = (own % np.uint64(self.families)) * np.uint64(0x9E3779B97F4A7C15)  # so that its bits look random

        def rows(values: np.ndarray, shift: int, count: int) -> np.ndarray:
            return table[(values >> np.uint64(shift)).astype(np.int64) % count]

        spread = 0.5 + 1.5 * ((family >> np.uint64(8)) % np.uint64(256)).astype(np.float32)[:, None] / 256
        centre = rows(family, 58, 64) + (rows(family, 40, 4096) + rows(family, 24, 4096)) / np.sqrt(2)
        vectors = table[0] + centre + spread * (rows(own, 48, 4096) + rows(own, 32, 4096)) / np.float32(np.sqrt(2))
        pooled = torch.from_numpy(vectors.astype(np.float32))
        states = pooled.half() if keep_states else None
        return Encoded(pooled, states, torch.arange(len(texts) + 1), truncated=0)


@dataclass(frozen=True)
class MadeUpScoresStage(Stage[JudgedPairs]):
    """Score mined pairs by a hash of their ids, where a judge would be asked."""

    mined: Pairs

    kind: ClassVar[str] = "made_up_scores"

    @property
    def _mined(self) -> Manifest:
        assert self.mined.manifest is not None, "mined pairs come from the store"
        return self.mined.manifest

    def inputs(self) -> dict[str, Any]:
        """Return what the pairs depend on."""
        return dict(self._mined.inputs)

    def upstream(self) -> Mapping[str, Reference]:
        """Return the mined pairs."""
        return {"mined": self._mined.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write every mined pair with its score."""
        mined = self.mined
        scores = ((mined.anchor_ids * 31 + mined.neighbor_ids * 17) % 4).astype(np.int8)
        columns = (mined.anchor_ids, mined.neighbor_ids, mined.cosim, scores)
        JudgedPairs(*columns, self.kind, [""] * len(mined)).write(out / FILE_NAME)
        return {"pairs": len(mined), "metadata": self._mined.facts["metadata"]}

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the scored pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, self.kind, manifest)
