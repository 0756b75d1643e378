"""Everything in the package that reads a file someone else may have written, as functions of that file's bytes.

Each returns, or raises `SigjepaError`; any other exception is a defect. Property tests and the coverage-guided fuzzer
(`benchmarks/reliability/fuzzing.py`) share this list.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sigjepa.corpus.corpus import Corpus
from sigjepa.corpus.functions import extract_functions
from sigjepa.corpus.sources.archive import python_members, read_members
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.sources.pins import read_pins
from sigjepa.corpus.text import decode_source, indent_source
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.rank_files import read_ranks
from sigjepa.negatives.exchange.document import Document
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.exchange.imports import ImportedFile
from sigjepa.negatives.exchange.metadata import read_metadata
from sigjepa.negatives.exchange.train_pairs import TrainPairs
from sigjepa.negatives.judging.judges.parsing import UnusableAnswerError, read_answer
from sigjepa.negatives.judging.judges.prompt import load_prompt
from sigjepa.negatives.judging.labels import read_labels
from sigjepa.negatives.judging.response_cache import read_ledger
from sigjepa.reporting.run_files import read_rows
from sigjepa.reporting.runs import read_run
from sigjepa.reporting.sweeps import is_training, overrides_of, planned_jobs
from sigjepa.store.files import file_digest, read_json
from sigjepa.store.manifest import CHECKSUM, checksum_of
from sigjepa.teacher.shards import TeacherShards

N_FUNCTIONS = 40
KEYS = [f"{position:032x}" for position in range(N_FUNCTIONS)]
MEMORY = Path("/dev/shm")
_FOLDER = tempfile.TemporaryDirectory(
    prefix="sigjepa-fuzz-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None, ignore_cleanup_errors=True
)


@dataclass(frozen=True)
class ForeignParser:
    """A reader of foreign bytes, and files that it accepts, from which a fuzzer starts."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of bytes from a reader of a file called `name`, in a folder of its own."""

    def read_bytes(content: bytes) -> object:
        path = Path(_FOLDER.name, str(os.getpid()), name.replace("/", "-"), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            return read(path)
        except SigjepaError:
            return None

    return read_bytes


def extract(content: bytes) -> object:
    """Functions of a source file, and that each can be written as UTF-8 and put together again."""
    functions, _ = extract_functions(content, repository="r", path="p.py", max_file_bytes=100_000)
    for function in functions:
        "\0".join((function.key, function.qualname, function.signature, function.docstring, function.body)).encode()
    return functions


def text(content: bytes) -> object:
    """A source text by its encoding, and back."""
    try:
        source = decode_source(content)
    except (UnicodeError, LookupError, SyntaxError):
        return None
    return indent_source(source, "    ")


def jsonl_corpus(path: Path) -> object:
    """All rows of a corpus in JSON Lines, extracted."""
    found = []
    for repository in JsonLines(str(path)).repositories():
        for content in repository.read(range(len(repository.paths))):
            found.append(repository.extract(content, repository=repository.name, path="p.py"))
    return found


def wheel(path: Path) -> object:
    """All Python files of a wheel."""
    return list(read_members(path, python_members(path)))


def answer(content: bytes) -> object:
    """A judge's answer."""
    try:
        return read_answer(content.decode("utf-8", "replace"))
    except UnusableAnswerError:
        return None


def imported(source: ImportedFile, ids: FunctionIds, *, skip_outside: bool) -> object:
    """The pairs of a file under some kind of ids, with its meta file when there is one."""
    pairs = TrainPairs(ids, np.arange(0, N_FUNCTIONS, 2), skip_outside=skip_outside)
    return source.read(pairs, read_metadata(Path(source.path)))


def index_meta(path: Path) -> object:
    """The meta file of an index, beside an index that is as it should be."""
    index = path.parent / "hard_negatives.json"
    if not index.exists():
        index.write_bytes(INDEX)
    return imported(ImportedIndex(index), FunctionIds(N_FUNCTIONS), skip_outside=True)


def sidecar(path: Path) -> object:
    """The notes beside a file of pairs."""
    (path.parent / "pairs.jsonl").write_bytes(b"")
    return read_metadata(path.parent / "pairs.jsonl")


def run_summary(path: Path) -> object:
    """The summary of a run of unknown origin, and a figure of it."""
    run = read_run(path.parent)
    return run.experiment, run.seed, run.figure("test/rank10")


def run_provenance(path: Path) -> object:
    """The provenance of a run of unknown origin."""
    (path.parent / "summary.json").write_text("{}")
    run = read_run(path.parent)
    return run.pool(), run.config


def overrides(path: Path) -> object:
    """What a job of a sweep was started with."""
    return overrides_of(path.parents[1])


def hydra_settings(path: Path) -> object:
    """Whether a job of a sweep trained."""
    return is_training(path.parents[1])


def corpus_manifest(path: Path) -> object:
    """The manifest of a corpus, beside a file of functions that is no parquet."""
    functions = path.parent / "functions.parquet/00000.parquet"
    if not functions.exists():
        functions.parent.mkdir(exist_ok=True)
        functions.write_bytes(b"PAR1")
    return len(Corpus.load(path.parent))


def shards_manifest(path: Path) -> object:
    """The manifest of a teacher's shards."""
    return TeacherShards.load(path.parent).dim


def lines(*rows: object) -> bytes:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def packed(files: dict[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def arrays(**columns: np.ndarray) -> bytes:
    """An `.npz` file."""
    stream = io.BytesIO()
    np.savez(stream, **columns)
    return stream.getvalue()


SOURCE = (
    b"import os\n\n\n@decorator(1)\ndef f(a, *, b: int = 2) -> int:\n    '''Doc.'''\n    x = a + b\n    # why\n"
    b"    return x  # beside\n\n\nclass C:\n    async def g(self): x = 1; return f'''\n{x}'''\n"
)
COOKIE = b"# -*- coding: latin-1 -*-\r\ndef f(x):\r\n\tif x:\r\n\t\treturn '\xe9'\r\n\treturn x\r\n"
INDEX = b'{\n "0": [\n  2,\n  4\n ],\n "6": [\n  8\n ]\n}\n'
KEY_INDEX = json.dumps({KEYS[0]: [KEYS[2]]}).encode()
PAIR = {"anchor_id": 0, "neighbor_id": 2, "cosim": 0.9, "score_c": 1, "judge": "j", "reason": "r"}


def checked(entry: dict[str, object]) -> dict[str, object]:
    """A line of the response cache."""
    return entry | {CHECKSUM: checksum_of(entry)}


ENTRY = {"pair": [KEYS[0], KEYS[1]], "judge": "j", "score_c": 2, "reason": "r", "details": {"a": 1}}
LABEL = {"label": 1} | {f"{one}_{half}": "x" for one in ("anchor", "neighbor") for half in ("signature", "body")}
META = {"digest": "", "scores": {"0": [0, 1], "6": [1]}, "cosims": {"0": [0.9, 0.8], "6": [0.7]}, "related": {"0": [6]}}
PROVENANCE = {"config": {"name": "x"}, "artifacts": {"corpus_hash": "h"}, "data_dir": "data", "git": {"sha": "a"}}
RANKS = {f"test_{name}": np.arange(1, 4) for name in ("ids", "optimistic", "pessimistic")}
PIN = b"# wheels\nabc==1.0 --hash=sha256:" + b"0" * 64 + b"\n"
PROMPT = b"# system\nyou judge\n\n# user\nhere: {{functions}}\n\n# repair\nno: {{problem}}\n"
SHARD = {"file": "shard-00000.safetensors", "first_id": 0, "functions": 1, "bytes": 4, "digest": "xxh3_128:00"}
SHARDS = {"name": "m", "dim": 4, "functions": 1, "inputs": {"body_states": False, "format": 1}, "shards": [SHARD]}
HYDRA = b"hydra:\n  runtime:\n    choices: {hydra: train}\n  job:\n    config_name: train\n"
SWEEP = b'{"key": "1f", "jobs": {"seed=0": ["seed=0"], "seed=1": ["seed=1"]}}'


def seeded_meta() -> bytes:
    """A meta file with the digest of its index."""
    path = Path(_FOLDER.name, "index.json")
    path.write_bytes(INDEX)
    return json.dumps(META | {"digest": file_digest(path)}).encode()


POSITIONS, BY_KEY = FunctionIds(N_FUNCTIONS), FunctionIds(N_FUNCTIONS, KEYS)
OTHER_NAMES = {"anchor_id": "anchor", "score_c": "judgement.score_c"}
FOREIGN_PAIR = {"anchor": KEYS[0], "neighbor_id": KEYS[2], "cosim": 1, "judgement": {"score_c": 0}}

PARSERS = (
    ForeignParser("source file", extract, (SOURCE, COOKIE, b"\xef\xbb\xbf" + SOURCE)),
    ForeignParser("source encoding", text, (SOURCE, COOKIE, b"# coding: utf-7\n+AGE-")),
    ForeignParser(
        "jsonl corpus",
        in_file("corpus.jsonl", jsonl_corpus),
        (
            lines({"repository": "r", "path": "p", "code": SOURCE.decode()}),
            lines({"repository": "r", "path": "p", "signature": "def f(x):", "body": "y = x\nreturn y"}),
        ),
    ),
    ForeignParser(
        "wheel",
        in_file("a.whl", wheel),
        (packed({"a/b.py": "x = 1\n", "a/": ""}), packed({"c.py": "y = 2\n"}, zipfile.ZIP_STORED)),
    ),
    ForeignParser("list of wheels", in_file("wheels.txt", read_pins), (PIN,)),
    ForeignParser(
        "imported pairs by position",
        in_file("positions.jsonl", lambda path: imported(ImportedPairs(path), POSITIONS, skip_outside=True)),
        (lines(PAIR, PAIR | {"neighbor_id": 4, "score_c": None}),),
    ),
    ForeignParser(
        "imported pairs by key",
        in_file(
            "keys.jsonl", lambda path: imported(ImportedPairs(path, fields=OTHER_NAMES), BY_KEY, skip_outside=False)
        ),
        (lines(FOREIGN_PAIR, FOREIGN_PAIR | {"neighbor_id": KEYS[4], "judge": None}),),
    ),
    ForeignParser(
        "index by position",
        in_file("positions.json", lambda path: imported(ImportedIndex(path), POSITIONS, skip_outside=False)),
        (INDEX,),
    ),
    ForeignParser(
        "index by key",
        in_file("keys.json", lambda path: imported(ImportedIndex(path), BY_KEY, skip_outside=True)),
        (KEY_INDEX,),
    ),
    ForeignParser("index meta", in_file("hard_negatives.meta.json", index_meta), (seeded_meta(),)),
    ForeignParser("sidecar", in_file("pairs.meta.json", sidecar), (b'{"digest": "xxh3_128:0", "corpus": "c"}',)),
    ForeignParser("JSON document", in_file("any.json", lambda path: Document(path, "mend it").read()), (INDEX,)),
    ForeignParser("judge's answer", answer, (b'{"reason": "r", "score_c": 1}', b'a ```json\n{"score_c": 3}``` b')),
    ForeignParser(
        "response cache",
        in_file("responses.jsonl", lambda path: list(read_ledger(path))),
        (lines(checked(ENTRY)), lines(checked(ENTRY), checked(ENTRY | {"score_c": None}))[:-9]),
    ),
    ForeignParser("hand labels", in_file("labels.jsonl", read_labels), (lines(LABEL),)),
    ForeignParser("judge's prompt", in_file("prompt.md", lambda path: load_prompt(str(path))), (PROMPT,)),
    ForeignParser("manifest", in_file("manifest.json", read_json), (b'{"digest": "a"}', b"[1, null]")),
    ForeignParser(
        "corpus manifest",
        in_file("corpus/manifest.json", corpus_manifest),
        (json.dumps({"digest": "xxh3_128:a", "hash": "b"}).encode(),),
    ),
    ForeignParser("shards manifest", in_file("shards/manifest.json", shards_manifest), (json.dumps(SHARDS).encode(),)),
    ForeignParser(
        "metrics.csv",
        in_file("metrics.csv", read_rows),
        (b"epoch,step,val/rank10\n0,10,0.5\n1,20,\n", b'epoch,"a\nb"\n0,nan\n'),
    ),
    ForeignParser(
        "summary.json",
        in_file("summary/summary.json", run_summary),
        (b'{"experiment": "e", "seed": 0, "status": "finished", "test/rank10": 0.5}', b'{"status": "failed"}'),
    ),
    ForeignParser(
        "provenance.json", in_file("run/provenance.json", run_provenance), (json.dumps(PROVENANCE).encode(),)
    ),
    ForeignParser("ranks.npz", in_file("ranks.npz", lambda path: read_ranks(path, "test")), (arrays(**RANKS),)),
    ForeignParser(
        "overrides.yaml", in_file(".hydra/overrides.yaml", overrides), (b"- experiment=exp1_4\n- seed=1\n", b"[]\n")
    ),
    ForeignParser("hydra.yaml", in_file(".hydra/hydra.yaml", hydra_settings), (HYDRA,)),
    ForeignParser("sweep.json", in_file("sweep/sweep.json", lambda path: planned_jobs(path.parent, [])), (SWEEP,)),
)
