"""The terms of functions: all that the lexicon knows of each, in tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.lexicon.body import read_body
from sigjepa.lexicon.mentions import MENTIONS, NAME_VARIANTS, name_variants
from sigjepa.lexicon.names import bare_names
from sigjepa.lexicon.signature import PARAMETER_FLAGS, ROLES, Signature, read_signature
from sigjepa.lexicon.structure import body_structure, signature_structure
from sigjepa.lexicon.terms import TermTable
from sigjepa.lexicon.uses import SPELLINGS, USES

FREE_NAME_COLUMNS = (*USES, *SPELLINGS)


@dataclass(frozen=True)
class FunctionTerms:
    """The tables of n functions; each row depends on the texts of its function alone.

    signature_words, signature_names: split words and bare names, a count for each of `ROLES`. parameters: a 0 or 1 for
    each of `PARAMETER_FLAGS`. function_names: the name of the function and what its body may use instead, a 1 for one
    of `NAME_VARIANTS`. body_words, body_names: how often. free_names: a number for each of `FREE_NAME_COLUMNS`.
    super_calls: attributes that the body takes of `super()`, with 1. mentions: names in the body, a count for each of
    `MENTIONS`. signature_structure, body_structure: how often each of `SIGNATURE_STRUCTURES`, `BODY_STRUCTURES`.
    """

    signature_words: TermTable
    signature_names: TermTable
    parameters: TermTable
    body_words: TermTable
    body_names: TermTable
    free_names: TermTable
    super_calls: TermTable
    mentions: TermTable
    function_names: TermTable
    signature_structure: TermTable
    body_structure: TermTable

    @classmethod
    def concatenate(cls, parts: Sequence["FunctionTerms"]) -> "FunctionTerms":
        """Return the functions of all `parts`, in order; there is at least one."""
        tables = {name: [getattr(part, name) for part in parts] for name in TABLES}
        return cls(**{name: TermTable.concatenate(each) for name, each in tables.items()})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FunctionTerms":
        """Return what `arrays` gave."""
        tables = {name: [arrays[f"{name}_{each.name}"] for each in fields(TermTable)] for name in TABLES}
        return cls(**{name: TermTable(*each) for name, each in tables.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of all tables by name."""
        names = [(table, each.name) for table in TABLES for each in fields(TermTable)]
        return {f"{table}_{name}": getattr(getattr(self, table), name) for table, name in names}

    def take(self, functions: np.ndarray) -> "FunctionTerms":
        """Return some functions `[p]`, in the order given."""
        return FunctionTerms(**{name: getattr(self, name).take(functions) for name in TABLES})

    def __len__(self) -> int:
        return len(self.body_words)


TABLES = tuple(each.name for each in fields(FunctionTerms))


def extract_terms(signatures: Sequence[str], bodies: Sequence[str]) -> tuple[FunctionTerms, dict[str, int]]:
    """Return the terms of functions, and how many signatures and bodies are not Python (`unparsed_signatures`, …)."""
    read = [read_signature(signature) for signature in signatures]
    trees = [read_body(body) for body in bodies]
    structures = [body_structure(body) for body in bodies]
    terms = FunctionTerms(
        signature_words=TermTable.of([_by_role(each, split_identifier) for each in read], len(ROLES)),
        signature_names=TermTable.of([_by_role(each, bare_names) for each in read], len(ROLES)),
        parameters=TermTable.of([each.parameters for each in read], len(PARAMETER_FLAGS)),
        body_words=TermTable.counted(split_identifier(body) for body in bodies),
        body_names=TermTable.counted(bare_names(body) for body in bodies),
        free_names=TermTable.of([tree.free_names.items() for tree in trees], len(FREE_NAME_COLUMNS)),
        super_calls=TermTable.counted(tree.super_calls for tree in trees),
        mentions=TermTable.of([mentions.items() for _, mentions in structures], len(MENTIONS)),
        function_names=TermTable.of([name_variants(each).items() for each in read], len(NAME_VARIANTS)),
        signature_structure=TermTable.counted(map(signature_structure, signatures, read)),
        body_structure=TermTable.counted(counts for counts, _ in structures),
    )
    unparsed = {
        "unparsed_signatures": sum(not each.parsed for each in read),
        "unparsed_bodies": sum(not tree.parsed for tree in trees),
    }
    return terms, unparsed


def _by_role(signature: Signature, split: Callable[[str], Sequence[str]]) -> Iterable[tuple[str, Sequence[int]]]:
    """Return the terms of a signature's texts with a count for each of `ROLES`."""
    counts: dict[str, list[int]] = {}
    for role, text in signature.texts:
        for term in split(text):
            counts.setdefault(term, [0] * len(ROLES))[ROLES.index(role)] += 1
    return counts.items()
