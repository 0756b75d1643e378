"""A corpus and its hard negatives as a folder that `datasets.load_dataset` opens, with a card, as the Hub wants it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.judging.questions import functions_at
from sigjepa.store.progress import progress

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

ROWS_PER_FILE = 100_000
CARD = "README.md"
SPLITS = ("train", "val", "test")
HUB_SPLIT = {"val": "validation"}
"""Names of splits on the Hub, where they are not ours."""
FUNCTION_COLUMNS = (
    *("id", "key", "repository", "path", "qualname", "line"),
    *("signature", "docstring", "body", "tier"),
)
PAIR_COLUMNS = pa.schema(
    {
        **dict.fromkeys(("anchor_id", "negative_id"), pa.int64()),
        **dict.fromkeys(("anchor", "positive", "negative"), pa.string()),
        "cosim": pa.float64(),
        "score_c": pa.int8(),
    }
)
TEXT = """
# {title}

{functions:,} Python functions of {repositories:,} repositories, in halves: `signature` (decorators and `def …:` as
written) and `body` (the statements after the docstring, dedented). Splits are by repository, and no near duplicates of
bodies are left. Made by `sigjepa export format=datasets`.

| split | functions |
|-------|-----------|
{splits}

`corpus` has a row a function; `id` is its position, `key` a hash of its content, `tier` its half of the published
experiments. Content hash of the corpus: `{hash}`. Source: `{source}`. The licenses are those of the repositories.
{pairs}"""
PAIRS = """
`hard_negatives` has a row a pair of train: the `anchor`'s signature, its own body (`positive`), and a body that is near
and not equivalent (`negative`), nearest first. `cosim` is of the two bodies in the space of {teacher}, `score_c` is
{judge}'s: 0 unrelated, 1 slightly related. {number:,} pairs; {anchors:,} anchors have some.
"""


def write_dataset(corpus: "Corpus", negatives: HardNegatives | None, folder: Path) -> None:
    """Write the corpus by split, hard negatives where there are some, and the card into a folder."""
    configs: list[dict[str, Any]] = [{"config_name": "corpus", "default": True, "data_files": []}]
    counts = {}
    for split in SPLITS:
        ids = corpus.ids(split)
        counts[split] = len(ids)
        tables = (functions_at(corpus, part, FUNCTION_COLUMNS) for part in parts(ids))
        write_split(folder, configs[0], split, len(ids), tables)
    pairs = ""
    if negatives is not None and len(negatives):
        configs.append({"config_name": "hard_negatives", "data_files": []})
        write_split(folder, configs[1], "train", len(negatives), pair_tables(negatives, corpus))
        pairs = PAIRS.format(
            teacher=negatives.metadata.get("model") or "the teacher",
            judge=f"`{negatives.metadata.get('judge')}`",
            number=len(negatives),
            anchors=len(negatives.negatives.keys),
        )
    front = {
        "language": ["code"],
        "size_categories": [size_category(len(corpus))],
        "tags": ["code"],
        "configs": configs,
    }
    text = TEXT.format(
        title=corpus.folder.name,
        functions=len(corpus),
        repositories=len(set(corpus.values("repository"))),
        splits="\n".join(f"| {HUB_SPLIT.get(split, split):<5} | {count:<9,} |" for split, count in counts.items()),
        hash=corpus.hash,
        source=source_of(corpus.manifest.inputs),
        pairs=pairs,
    )
    (folder / CARD).write_text(f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n{text}", encoding="utf-8")


def source_of(inputs: Mapping[str, Any]) -> str:
    """Return what kind of source a corpus was read from."""
    source = inputs.get("source")
    return str(source.get("source")) if isinstance(source, Mapping) else "a corpus"


def write_split(folder: Path, config: dict[str, Any], split: str, rows: int, tables: Iterator[pa.Table]) -> None:
    """Write the tables of a split as files of a configuration, and name them in it; nothing for a split without any.

    Their number stands in each name, so that files of an earlier export are never taken for them.
    """
    if not rows:
        return
    name, place = HUB_SPLIT.get(split, split), folder / str(config["config_name"])
    place.mkdir(exist_ok=True)
    of = f"of-{math.ceil(rows / ROWS_PER_FILE):05d}.parquet"
    for number, table in enumerate(tables):
        pq.write_table(table, place / f"{name}-{number:05d}-{of}", compression="zstd")
    config["data_files"].append({"split": name, "path": f"{config['config_name']}/{name}-*-{of}"})


def pair_tables(negatives: HardNegatives, corpus: "Corpus") -> Iterator[pa.Table]:
    """Yield the pairs of all anchors with their texts, ROWS_PER_FILE at a time."""
    anchors = np.repeat(negatives.negatives.keys, np.diff(negatives.negatives.offsets))
    bar = progress(None, "write hard negatives", total=len(anchors), unit="pair")
    with bar:
        for rows in parts(np.arange(len(anchors))):
            ids, others = anchors[rows], negatives.negatives.values[rows]
            known = np.unique(np.concatenate([ids, others]))
            functions = functions_at(corpus, known, ("signature", "body"))
            of_anchors = functions.take(pa.array(np.searchsorted(known, ids)))
            of_others = functions["body"].take(pa.array(np.searchsorted(known, others)))
            columns = [ids, others, *of_anchors.columns, of_others, negatives.cosims[rows], negatives.scores[rows]]
            yield pa.table(columns, schema=PAIR_COLUMNS)
            bar.update(len(rows))


def parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows in parts of ROWS_PER_FILE."""
    for start in range(0, len(rows), ROWS_PER_FILE):
        yield rows[start : start + ROWS_PER_FILE]


def size_category(rows: int) -> str:
    """Return the Hub's word for a number of rows."""
    for bound, word in ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")):
        if rows < bound:
            return word
    return "1M<n<10M" if rows < 10**7 else "n>10M"
