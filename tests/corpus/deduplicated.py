"""Functions without their duplicates, as the steps of a corpus find them, and as a plain loop does."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sigjepa.corpus.dedup import REASONS, VIEWS, duplicates, jaccard, lsh_bands, shingle_set
from sigjepa.corpus.functions import Function
from sigjepa.corpus.near_pairs import NearPairsStage
from sigjepa.corpus.sketches import Sketches, arrays_of


def deduplicated(
    functions: Sequence[Function], threshold: float = 0.8, sizes: Sequence[int] | None = None
) -> tuple[list[Function], Counter[str]]:
    """Return the functions that stay and what was dropped, the sketches divided into parts of `sizes`."""
    sizes = [len(functions)] if sizes is None else sizes
    with tempfile.TemporaryDirectory() as folder:
        start = 0
        for part, size in enumerate(sizes):
            arrays = arrays_of([each.body for each in functions[start : start + size]], lsh_bands(threshold))
            for name, array in arrays.items():
                np.save(Path(folder) / f"{name}-{part}.npy", array)
            start += size
        facts = {"parts": list(map(str, range(len(sizes)))), "functions": list(sizes)}
        manifest: Any = SimpleNamespace(folder=Path(folder), facts=facts)
        stage = NearPairsStage(Sketches(manifest), threshold)
        out = Path(folder, "pairs")
        out.mkdir()
        for part in stage.parts()[::-1]:
            stage.build(part, out)
        written: Any = SimpleNamespace(folder=out, files=[path.name for path in out.iterdir()])
        pairs = stage.open(written)
        gone = duplicates(
            {reason: pairs.same(reason) for reason in REASONS}, {view: pairs.near(view) for view in VIEWS}
        )
    positions = {int(position) for found in gone.values() for position in found}
    kept = [function for position, function in enumerate(functions) if position not in positions]
    return kept, +Counter({reason: len(found) for reason, found in gone.items()})


def deduplicated_one_by_one(
    functions: Sequence[Function], threshold: float = 0.8
) -> tuple[list[Function], Counter[str]]:
    """Return the same: a function is kept when it is no duplicate of one kept before, each compared with all."""
    kept: list[tuple[Function, dict[str, Any]]] = []
    dropped: Counter[str] = Counter()
    bodies: set[str] = set()
    for function in functions:
        if function.body in bodies:
            dropped["exact_duplicate"] += 1
            continue
        bodies.add(function.body)
        sets = {reason: shingle_set(view(function.body), {}) for reason, view in VIEWS.items()}
        near = (name for name in VIEWS if any(jaccard(sets[name], other[name]) >= threshold for _, other in kept))
        if (reason := next(near, None)) is not None:
            dropped[reason] += 1
        else:
            kept.append((function, sets))
    return [function for function, _ in kept], dropped
