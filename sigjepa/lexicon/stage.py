"""Reading the lexicon of a corpus: terms of all signatures and bodies, in parts of equal size."""

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sigjepa.corpus.corpus import Corpus
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.lexicon import Lexicon
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage, row_parts

log = logging.getLogger(__name__)

FORMAT = 4  # raise it when the same inputs give other tables
COUNTED = ("functions", "unparsed_signatures", "unparsed_bodies")


@dataclass(frozen=True)
class LexiconStage(Stage[Lexicon]):
    """Read the terms of every function of a corpus, which all its folds share.

    functions_per_part: functions in a file.
    """

    corpus: Corpus
    functions_per_part: int = 2048

    kind: ClassVar[str] = "lexicon"
    unit: ClassVar[str] = "function"
    packages: ClassVar[Sequence[str]] = ("numpy", "xxhash")

    def inputs(self) -> dict[str, Any]:
        """Return what identifies the corpus and the reading; raises SigjepaError for empty parts or no functions."""
        if self.functions_per_part < 1:
            raise SigjepaError(f"functions_per_part={self.functions_per_part} must be at least 1.")
        if not len(self.corpus):
            raise SigjepaError("The corpus is empty, so there is no lexicon of it; widen corpus.source.")
        return {
            "corpus": self.corpus.undivided.content,
            "functions_per_part": self.functions_per_part,
            "python": ".".join(platform.python_version_tuple()[:2]),  # its grammar decides what parses
            "format": FORMAT,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus, of a fold the whole one."""
        return {"corpus": self.corpus.undivided}

    def parts(self) -> Sequence[Part]:
        """Return a part for every `functions_per_part` functions."""
        return row_parts(len(self.corpus), self.functions_per_part, "terms")

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the tables of some functions; the facts count what is not Python."""
        rows = slice(part.start, part.stop)
        terms, unparsed = extract_terms(self.corpus.column("signature", rows), self.corpus.column("body", rows))
        file = f"{part.name}.npz"
        np.savez(out / file, **terms.arrays())  # type: ignore[arg-type]
        return {"tables": [file], "functions": part.size, **unparsed}

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the files in order, and sums over the parts, which are logged where something is not Python."""
        sums = {name: sum(part[name] for part in parts) for name in COUNTED}
        for half in ("signatures", "bodies"):
            if unparsed := sums[f"unparsed_{half}"]:
                log.warning(
                    "%d of %d %s are not Python: they have words, and no roles, parameters or free names.",
                    unparsed,
                    sums["functions"],
                    half,
                )
        return {"tables": [file for part in parts for file in part["tables"]], **sums}

    def open(self, manifest: Manifest) -> Lexicon:
        """Return the lexicon, whose tables are read when they are asked for."""
        return Lexicon(manifest)
