"""Building an index beside embedding the same bodies, the teacher alone, in batches of its own choice; on one core.

    python benchmarks/indexing.py                       # a student of data=tiny and the package's own lexicon
    python benchmarks/indexing.py --student my_student --source my_repo

An index is built from the files: functions are read, their bodies encoded file by file, their terms counted and sorted.
The limit is 1.2 times the time of embedding. Embedding file by file is the teacher alone in the index's own batches,
which are of one file and small, so that a body has the same bits whatever lies beside its file.
"""

import argparse
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import compare, print_comparison
from tiny_runs import train

import sigjepa
from sigjepa.corpus.sources.folder import Folder
from sigjepa.serving.functions import FunctionsStage
from sigjepa.serving.index_stage import IndexStage, batches
from sigjepa.serving.student import Student
from sigjepa.store.files import write_json
from sigjepa.store.store import Store


def indexing(student: Student, source: Path, repeats: int) -> dict[str, Any]:
    """Return how long it takes to index a folder, beside embedding its bodies."""
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / str(number) for number in itertools.count())
        stage = FunctionsStage(Folder([str(source)]))
        bodies = Store(next(folders)).get(stage)
        texts = bodies.bodies(0, len(bodies))

        def index() -> int:
            store = Store(next(folders))
            return len(store.get(IndexStage(store.get(stage), student)))

        def embed() -> int:
            return len(student.teacher.encode(texts, student.teacher.max_body_tokens, keep_states=False).pooled)

        def embed_by_file() -> int:
            for start, stop in bodies.files():
                ordered = sorted(bodies.bodies(start, stop), key=len)
                for rows in batches([*map(len, ordered)]):
                    some = [ordered[row] for row in rows]
                    student.teacher.encode(some, student.teacher.max_body_tokens, keep_states=False)
            return len(bodies)

        def agree(found: Mapping[str, int]) -> None:
            assert np.unique([*found.values(), len(texts)]).size == 1, f"other numbers of bodies: {found}"

        cases = {"sigjepa index": index, "embedding": embed, "embedding, file by file": embed_by_file}
        return compare(cases, agree, repeats) | {"functions": len(texts)}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", type=Path, help="its folder (default: one that is trained for a minute)")
    parser.add_argument("--source", type=Path, default=Path(sigjepa.__file__).parent / "lexicon")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (default: 3)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/indexing.json"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        if options.student is None:
            train(Path(name), "experiment=flagship")
        student = Student.from_pretrained(options.student or Path(name))
    record = indexing(student, options.source, options.repeats)
    write_json(options.output, record)
    print_comparison(f"indexing of {record['functions']:,} functions of {options.source.name}", record)


if __name__ == "__main__":
    main()
