"""Functions, embeddings and scores that are made up, as many as wanted, so that only the stages that follow are real.

Functions are real ones of the running interpreter and its packages whose names are replaced: each copy of a repository
draws its names from few others, so that it differs from its original, and from another copy, by more than a renaming,
which near-duplicate search would see through. Embeddings come in families around topics, as those of functions do.
"""

import builtins
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import xxhash

from sigjepa.corpus.sources.installed import InstalledPackages
from sigjepa.corpus.sources.source import Repository, Source
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.stage import FILE_NAME
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage
from sigjepa.teacher.encoder import Encoded

NAME = re.compile(rb"(?<![\\\w])[A-Za-z_]\w{2,}")
ABSTRACT = ("overload", "abstractmethod", "abstractproperty", "NotImplementedError")
KEPT = frozenset(name.encode() for name in (*keyword.kwlist, *dir(builtins), *ABSTRACT, "self", "cls"))
WORDS = [name.encode() for name in sorted(np.__all__) if name.isidentifier() and len(name) > 2]
"""The names that are put in place of others: those of numpy."""
NAMES_OF_A_COPY = 48
"""So few that two names of a body often become one: what a renaming would leave equal differs."""


class Renaming(dict[bytes, bytes]):
    """The name that a copy of a repository has in place of each, drawn when it is first met."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.names = [WORDS[i] for i in np.random.default_rng(seed).choice(len(WORDS), NAMES_OF_A_COPY, replace=False)]

    def __missing__(self, name: bytes) -> bytes:
        kept = name in KEPT or (name.startswith(b"__") and name.endswith(b"__"))
        new = name if kept else self.names[xxhash.xxh3_64_intdigest(name, self.seed) % NAMES_OF_A_COPY]
        self[name] = new
        return new

    def of(self, content: bytes) -> bytes:
        """Return a file with its names replaced; the first two lines, which may name its encoding, stay."""
        first, end, rest = content.partition(b"\n")
        second, other_end, rest = rest.partition(b"\n")
        return first + end + second + other_end + NAME.sub(lambda match: self[match[0]], rest)


def read_renamed(repository: Repository, copy: int, positions: Sequence[int]) -> Iterator[bytes | None]:
    """Yield the files at `positions` of a repository with the names of its copy."""
    seed = xxhash.xxh3_64_intdigest(repository.name.encode(), copy) % 2**32
    renaming = Renaming(seed)
    for content in repository.read(positions):
        yield None if content is None else renaming.of(content)


@dataclass(frozen=True)
class RenamedCopies:
    """So many renamed copies of each repository of a source; none is the original."""

    source: Source = field(default_factory=InstalledPackages)
    copies: int = 1

    name = "renamed"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the source's, and how many copies."""
        return {"source": self.name, "of": self.source.fingerprint(), "copies": self.copies}

    def repositories(self) -> list[Repository]:
        """Return the copies of each repository."""
        return [
            Repository(f"{each.name}~{copy}", each.paths, partial(read_renamed, each, copy), left_out=each.left_out)
            for each in self.source.repositories()
            for copy in range(self.copies)
        ]


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
