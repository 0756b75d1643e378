"""Cross-validation over repositories: each is in the test split of exactly one of K folds of the same corpus.

The functions, their ids and their tiers are those of the corpus, so that one embedding serves all folds. A fold is test
as a whole; the other repositories are divided into train and val in the proportion of `split_shares`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from sigjepa.corpus.corpus import FUNCTIONS_FOLDER, SCHEMA, Corpus, write_functions
from sigjepa.corpus.split import allocate
from sigjepa.corpus.stage import SUMMARY_FILE
from sigjepa.corpus.summary import summary_text, summed
from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage

FORMAT = 2  # raise it when the same corpus is divided in another way
MIN_FOLDS = 2


@dataclass(frozen=True)
class Fold:
    """One of `folds` parts of a corpus, counted from 0: the part that is test."""

    folds: int
    fold: int


def chosen_fold(folds: Any, fold: Any) -> Fold | None:
    """Return what the keys `folds` and `fold` ask for; None where both are null, which leaves the corpus' own splits.

    Raises SigjepaError naming the key that is wrong or missing.
    """
    if folds is None and fold is None:
        return None
    all_of_them = "`python -m sigjepa.train -m sweep=folds` runs all of them"
    if folds is None:
        raise SigjepaError(f"fold={fold} without folds: give folds=5 as well, or leave fold out; {all_of_them}.")
    if type(folds) is not int or folds < MIN_FOLDS:
        raise SigjepaError(f"folds={folds} must be a whole number, at least {MIN_FOLDS}, or null for no folds.")
    known = f"fold=0 to fold={folds - 1}"
    if fold is None:
        raise SigjepaError(f"folds={folds} without fold: give {known}, the one that is test; {all_of_them}.")
    if type(fold) is not int or not 0 <= fold < folds:
        raise SigjepaError(f"fold={fold} is none of folds={folds}: give {known}; {all_of_them}.")
    return Fold(folds, fold)


def assign_folds(sizes: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of each repository, from its number of functions, such that folds have nearly equal numbers.

    No two folds differ by more than the largest repository. It depends on names, sizes and `seed`, not on an order.
    Raises SigjepaError for fewer repositories than folds, and where a fold leaves too few for train and val.
    """
    if len(sizes) < folds:
        held = ", ".join(f"{name} ({size} functions)" for name, size in sorted(sizes.items()))
        raise SigjepaError(
            f"folds={folds} needs at least {folds} repositories with functions, found {len(sizes)}: {held}. Give a "
            f"smaller folds, or more repositories."
        )
    groups = allocate(sizes, {str(fold): 1 / folds for fold in range(folds)}, seed)
    assigned = {name: int(groups[name]) for name in sizes}
    if len(sizes) - max(Counter(assigned.values()).values()) < 2:
        raise SigjepaError(
            f"folds={folds} of {len(sizes)} repositories leave a single one for train and val together. Give more "
            f"repositories{', or a larger folds' if folds < len(sizes) else ''}."
        )
    return assigned


def fold_splits(sizes: Mapping[str, int], chosen: Fold, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the split of each repository when a fold is test; shares: of train and val in the rest, in all 1."""
    assigned = assign_folds(sizes, chosen.folds, seed)
    rest = {name: size for name, size in sizes.items() if assigned[name] != chosen.fold}
    splits = allocate(rest, {split: shares[split] for split in ("train", "val")}, seed)
    return {name: splits.get(name, "test") for name in sizes}


@dataclass(frozen=True)
class FoldStage(Stage[Corpus]):
    """Divide a corpus anew, such that one of its folds is test; all else of it stays as it is."""

    corpus: Corpus
    chosen: Fold

    kind: ClassVar[str] = "corpus"
    packages: ClassVar[Sequence[str]] = ("pyarrow", "xxhash")

    @property
    def label(self) -> str:
        """The name of the source, and the fold."""
        source = self.corpus.folder.name.rpartition("-")[0]
        return f"{source}-fold-{self.chosen.fold}-of-{self.chosen.folds}"

    def inputs(self) -> dict[str, Any]:
        """Return the corpus, the fold, and the shares that its splits are to have."""
        shares, held = self.corpus.manifest.inputs["split_shares"], 1 / self.chosen.folds
        rest = (1 - held) / (shares["train"] + shares["val"])
        return {
            "corpus": self.corpus.hash,
            **vars(self.chosen),
            "split_shares": {"train": rest * shares["train"], "val": rest * shares["val"], "test": held},
            "split_seed": self.corpus.manifest.inputs["split_seed"],
            "format": FORMAT,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus."""
        return {"corpus": self.corpus.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the functions with their new splits, and the summary; raises SigjepaError as `assign_folds`."""
        inputs = self.inputs()
        shares, total = inputs["split_shares"], 1 - inputs["split_shares"]["test"]
        of_rest = {split: shares[split] / total for split in ("train", "val")}
        sizes = Counter(self.corpus.column("repository"))
        homes = fold_splits(sizes, self.chosen, of_rest, inputs["split_seed"])
        place = SCHEMA.get_field_index("split")

        def divided(table: pa.Table) -> pa.Table:
            splits = pa.array([homes[name] for name in table["repository"].to_pylist()], pa.string())
            return table.set_column(place, SCHEMA.field(place), splits)

        facts = dict(self.corpus.manifest.facts)
        facts["hash"] = write_functions(map(divided, self.corpus.tables()), out / FUNCTIONS_FOLDER)
        splits: Counter[str] = Counter()
        for repository, size in sizes.items():
            splits[homes[repository]] += size
        facts["counts"] = {**facts["counts"], "splits": dict(splits)}
        text = summary_text(summed(map(divided, self.corpus.tables())), facts, shares, repositories=None)
        (out / SUMMARY_FILE).write_text(text, encoding="utf-8")
        return facts

    def content(self, files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
        """Return the hash of the rows, as that of any corpus."""
        return str(facts["hash"])

    def open(self, manifest: Manifest) -> Corpus:
        """Return the divided corpus, whose rows are read when they are asked for."""
        return Corpus(manifest)
