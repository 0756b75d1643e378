"""Judged pairs and hard negatives written for others, as published, each with a meta file that says what it is of."""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.dataset_folder import write_dataset
from sigjepa.negatives.exchange.field_map import KEYS, FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import write_index
from sigjepa.negatives.exchange.metadata import metadata_path
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.stage import FILE_NAME as JUDGED_FILE
from sigjepa.negatives.judging.stage import JudgedPairsStage
from sigjepa.store.files import file_digest, write_json
from sigjepa.store.manifest import Manifest
from sigjepa.store.progress import progress

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

FILE_NAME = "knn_results.jsonl"
ORIGIN = ("model", "corpus", "teacher")


def export(
    index: HardNegatives,
    corpus: "Corpus",
    output: Path,
    *,
    ids: str = "position",
    fields: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write `hard_negatives.json`, `knn_results.jsonl` where pairs were judged, and a meta file beside each.

    All files are complete before any of them appears. ids: what functions are called, 'position' or content 'key'.
    fields: what the fields of a judged pair are called, by our name. Returns the files. Raises SigjepaError when one is
    there with another content, unless `overwrite`.
    """
    names, field_map = FunctionIds.of(corpus, ids), FieldMap(fields)

    def write(folder: Path) -> None:
        write_index(index, folder, names)
        if (judged := judged_pairs_of(index)) is not None:
            path = folder / FILE_NAME
            write_judged(path, judged, names, field_map)
            facts = {name: index.metadata.get(name) for name in ORIGIN}
            facts |= {"ids": ids, "fields": field_map.given, "judge": judged.judge, "pairs": len(judged)}
            write_json(metadata_path(path), {"digest": file_digest(path), **facts})

    return publish(write, output, overwrite)


def export_dataset(
    index: HardNegatives | None, corpus: "Corpus", output: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write a corpus, and hard negatives where there are some, as a folder that `datasets` opens; returns its files.

    All files are complete before any of them appears. Raises SigjepaError as `export` does.
    """
    return publish(partial(write_dataset, corpus, index), output, overwrite)


def publish(write: Callable[[Path], None], output: Path, overwrite: bool) -> list[Path]:
    """Have the files that `write` writes into a folder appear in `output`, all or none, and return them.

    Raises SigjepaError when one is there with another content, unless `overwrite`.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as temporary:
        folder = Path(temporary)
        write(folder)
        files = {path: output / path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()}
        for path, there in files.items():
            other = there.exists() and not (there.is_file() and file_digest(there) == file_digest(path))
            if other and not overwrite:
                raise SigjepaError(
                    f"{there} is there with another content; export to another folder, or replace it with "
                    "overwrite=true."
                )
        for path, there in files.items():
            there.parent.mkdir(exist_ok=True)
            path.replace(there)
    return list(files.values())


def judged_pairs_of(index: HardNegatives) -> JudgedPairs | None:
    """Return the judged pairs that an index was filtered from; None for one that came filtered."""
    judged = None if index.manifest is None else index.manifest.upstream.get("judged")
    if judged is None or judged.kind != JudgedPairsStage.kind:
        return None
    assert index.manifest is not None
    manifest = Manifest.read(index.manifest.folder.parents[1] / judged.kind / judged.folder)
    manifest.verify()
    return JudgedPairs.read(manifest.folder / JUDGED_FILE, manifest.facts["metadata"]["judge"], manifest)


def write_judged(path: Path, judged: JudgedPairs, ids: FunctionIds, fields: FieldMap) -> None:
    """Write one pair a line, functions and fields under the names of `ids` and `fields`."""
    columns = (
        ids.names(judged.anchor_ids.tolist()),
        ids.names(judged.neighbor_ids.tolist()),
        judged.cosim.tolist(),
        judged.score_c.tolist(),
        [judged.judge] * len(judged),
        judged.reasons,
    )
    with path.open("w", encoding="utf-8") as stream:
        lines = zip(*columns, strict=True)
        for values in progress(lines, "write judged pairs", total=len(judged), unit="pair"):
            line = fields.line(dict(zip(KEYS, values, strict=True)))
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
