"""A student whose views are hand-made from the texts: a dense view, and sparse ones with and without constants."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.data.views import TermRows, View, Views
from sigjepa.lexicon.terms import TermTable


def term_rows(texts: Sequence[str], weight: float) -> TermRows:
    table = TermTable.of([[(word, (len(word),)) for word in split_identifier(text)] for text in texts], 1)
    values = torch.from_numpy(table.values).float() * weight
    return TermRows(len(texts), torch.from_numpy(table.functions), torch.from_numpy(table.terms.view(np.int64)), values)


def letters(texts: Sequence[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) / (1 + len(text)) for letter in "aeiouxyz"] for text in texts])


class FakeStudent:
    """Says what it encoded in `encoded`."""

    def __init__(self, fingerprint: str = "fake") -> None:
        self.fingerprint = fingerprint
        self.encoded: list[str] = []

    def predict(self, signatures: Sequence[str], tokens_per_batch: int | None = None) -> Views:
        return {
            "words": View(term_rows(signatures, 1.0)),
            "pooled": View(letters(signatures)),
            "names": View(term_rows(signatures, -0.25)),
        }

    def encode_bodies(self, bodies: Sequence[str]) -> Views:
        self.encoded += bodies
        names = term_rows(bodies, 0.5)
        return {
            "words": View(term_rows(bodies, 1.0)),
            "pooled": View(letters(bodies)),
            "names": View(names, -names.sums(names.values[:, 0])),
        }


def write_files(folder, files: int = 5, functions: int = 4) -> None:
    """Write Python files whose functions have different bodies."""
    folder.mkdir(parents=True, exist_ok=True)
    words = itertools.cycle(["read", "csv", "table", "parse", "queue", "axis", "zip", "ünït", "export"])
    for file in range(files):
        code = [
            f"def {next(words)}_{next(words)}_{row}(x, y):\n    {next(words)} = x.{next(words)}({file})\n"
            f"    return {next(words)}({row}, y)\n"
            for row in range(functions)
        ]
        (folder / f"module_{file}.py").write_text("\n".join(code), encoding="utf-8")
