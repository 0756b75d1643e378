"""`hard_negatives.json`, one id a line, and the meta file beside it, as they are published."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.store.files import atomic_path, file_digest

FILE_NAME = "hard_negatives.json"
META_NAME = "hard_negatives.meta.json"


def write_index(index: HardNegatives, folder: Path, ids: FunctionIds) -> Path:
    """Write `hard_negatives.json` and its meta file, functions under the names of `ids`; returns the former."""

    def named(lists: Mapping[int, Sequence[Any]]) -> dict[Any, Sequence[Any]]:
        return dict(zip(ids.names(lists), lists.values(), strict=True))

    def of_ids(adjacency: CSR) -> dict[Any, Sequence[Any]]:
        return named({key: ids.names(values) for key, values in adjacency.to_lists(adjacency.values).items()})

    path = folder / FILE_NAME
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(of_ids(index.negatives), indent=1) + "\n", encoding="utf-8")
    meta = {
        **index.metadata,
        "ids": ids.kind,
        "statistics": index.statistics(),
        "digest": file_digest(path),
        "scores": named(index.negatives.to_lists(index.scores)),
        "cosims": named(index.negatives.to_lists(index.cosims)),
        "related": of_ids(index.related),
    }
    with atomic_path(folder / META_NAME) as temporary:  # compactly: its columns are for programs
        temporary.write_text(json.dumps(meta, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
