"""Searching code: a student, an index of bodies and the functions that it is of, opened from one folder."""

import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from sigjepa.data.explanation import signature_terms
from sigjepa.data.shares import Share, Term
from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.lexicon.terms import recorded_terms
from sigjepa.serving.answer import Answer, Result
from sigjepa.serving.body_index import BodyIndex, Match, TermShare
from sigjepa.serving.functions import Functions, FunctionsStage, Places, change_of
from sigjepa.serving.index_stage import IndexStage
from sigjepa.serving.query import Query
from sigjepa.serving.student import Student
from sigjepa.serving.student_files import CHECKSUMS_FILE
from sigjepa.store.executors.executor import Executor
from sigjepa.store.files import storage_errors
from sigjepa.store.locks import file_lock
from sigjepa.store.manifest import Manifest, read_record, write_record
from sigjepa.store.store import Store
from sigjepa.training.run_file_names import STUDENT_FOLDER

log = logging.getLogger(__name__)

INDEX_FILE = "index.json"
FORMAT = 1  # raise it when an index is to be read in another way
AGAIN = "build it again with `sigjepa index`"
TOKENS_PER_BATCH = 192
"""Of queries that the teacher reads together: a pass more costs as much as 30 tokens, so that padding is the worse."""


@dataclass(frozen=True)
class CodeSearch:
    """Finds the functions whose bodies fit a signature."""

    student: Student
    index: BodyIndex
    functions: Functions
    places: Places

    @classmethod
    def open(cls, folder: str | Path, student: str | Path | None = None, **options: Any) -> "CodeSearch":
        """Return the search of a folder that `sigjepa index` wrote.

        student: instead of the copy that the index has; the index must be its own. options: of
        `Student.from_pretrained`. Raises SigjepaError for a folder that is no index, one of another format, a damaged
        one, and one that another student built.
        """
        folder = Path(folder)
        record = read_index_record(folder)
        functions, index = (verified_manifest(folder / kind / record[kind]) for kind in ("functions", "index"))
        chosen = folder / STUDENT_FOLDER if student is None else student
        if student is None and not (folder / STUDENT_FOLDER).is_dir():  # its name could be one of the Hub's
            raise SigjepaError(f"{chosen} is missing; {AGAIN}.")
        search = cls(
            Student.from_pretrained(chosen, **options), BodyIndex(index), Functions(functions), Places(record["places"])
        )
        if search.student.fingerprint != search.index.student:
            raise SigjepaError(
                f"{folder} was built by another student than {chosen}, or with another teacher: their scores can't be "
                f"compared. Leave student= out and give the teacher that it was built with, or {AGAIN} "
                f"student={chosen}."
            )
        return search

    def __len__(self) -> int:
        return len(self.index)

    def search(self, query: Query, top_k: int = 5) -> Sequence[Result]:
        """Return the `top_k` functions whose bodies fit best, the best first; a function of a file not itself."""
        return self.answers([query], [top_k])[0].results

    def answers(self, queries: Sequence[Query], top_k: Sequence[int]) -> list[Answer]:
        """Return what each of some queries comes to, read and searched together; top_k: results of each."""
        with recorded_terms() as texts:
            signatures = [query.signature for query in queries]
            predictions = self.student.predict(signatures, tokens_per_batch=TOKENS_PER_BATCH)
        matches = self.index.search(predictions, top_k, [self.own_rows(query) for query in queries])
        expected = self.index.expected(predictions)
        answers = []
        for query, some, terms in zip(queries, matches, expected, strict=True):
            query_terms = signature_terms(query.signature)
            views = {view: _named(each, texts, query_terms) for view, each in terms.items()}
            answers.append(Answer(query, views, [self.result(match, texts, query_terms) for match in some]))
        return answers

    def neighbors(self, row: int, top_k: int = 5) -> list[Result]:
        """Return the functions whose bodies are nearest to that of a row; raises SigjepaError for a row too many."""
        self.check_row(row)
        return [self.result(match) for match in self.index.neighbors(row, top_k)]

    def function(self, row: int) -> Result:
        """Return a function of the index; raises SigjepaError for a row too many."""
        self.check_row(row)
        return self.result(Match(row, 0.0))

    def check_row(self, row: int) -> None:
        """Raise SigjepaError for a row that the index does not have."""
        if not 0 <= row < len(self.index):
            raise SigjepaError(f"The index has no function {row}: it has {len(self.index):,}, from 0 on.")

    def own_rows(self, query: Query) -> list[int]:
        """Return the rows of the query's own function: those of its name in its file, or with its very body."""
        if query.file is None:
            return []
        names = self.functions.table.column("qualname").to_pylist()
        named = [row for row, name in enumerate(names) if name == query.qualname]
        in_file = set(self.places.rows_of(self.functions, query.file))
        return [row for row in named if row in in_file or self.functions[row].body == query.body]

    def result(self, match: Match, texts: Mapping[int, str] = {}, query_terms: Collection[str] = ()) -> Result:
        """Return what was found at a row; texts: of terms, by hash. query_terms: of its signature."""
        function = self.functions[match.row]
        file = self.places.file_of(function)
        shares = [Share(each.view, each.value, _named(each.terms, texts, query_terms)) for each in match.shares]
        return Result(
            row=match.row,
            repository=function.repository,
            path=function.path,
            line=function.line,
            qualname=function.qualname,
            signature=function.signature,
            body=function.body,
            file=None if file is None else str(file),
            changed=change_of(function, file),
            score=match.score,
            why=shares,
        )


def _named(shares: Sequence[TermShare], texts: Mapping[int, str], query_terms: Collection[str]) -> list[Term]:
    """Return terms with their texts, those that the index knows and those of the query; query_terms: as in `result`."""
    named = [(each.text or texts.get(each.term, "?"), each.value) for each in shares]
    return [Term(text, value, text not in query_terms) for text, value in named]


def build_index(output: Path, source: FunctionsStage, student: Student, folder: Path, executor: Executor) -> CodeSearch:
    """Return the search of an index of all functions of a source, built or brought up to date in `output`.

    folder: the student's, which the index keeps a copy of. What the index was before and needs no more is removed, so
    that processes with one output take turns. Raises SigjepaError for a folder that is not empty and no index.
    """
    if output.exists() and not output.is_dir():
        raise SigjepaError(f"output={output} is a file; give a folder for the index.")
    # hidden are the lock, the logs of Slurm, and what an interrupted process had begun
    own = (INDEX_FILE, FunctionsStage.kind, IndexStage.kind, STUDENT_FOLDER)
    foreign = [path.name for path in output.glob("[!.]*") if path.name not in own]
    if foreign and not (output / INDEX_FILE).is_file():
        raise SigjepaError(f"output={output} is no index and not empty ({foreign[0]}); give another folder.")
    with index_lock(output):
        if indexed_student(output) not in (None, student.fingerprint):
            log.warning(
                "%s is the index of another student: all of its functions are encoded anew by %s", output, folder
            )
        store = Store(output, executor)
        functions, _ = store.repair(source)
        index, _ = store.repair(IndexStage(functions, student, reuse=output / IndexStage.kind))
        places = Places.of(source.source)
        names = {"functions": functions.folder.name, "index": index.folder.name}
        if (
            not (output / STUDENT_FOLDER / CHECKSUMS_FILE).is_file()
            or folder.resolve() != (output / STUDENT_FOLDER).resolve()
        ):
            copy_folder(folder, output / STUDENT_FOLDER)
        record = {"format": FORMAT, "student": student.fingerprint, "places": dict(places.places), **names}
        write_record(output / INDEX_FILE, record)
        for kind, name in names.items():
            for old in (output / kind).glob("*"):
                if not old.name.startswith(name):
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
    return CodeSearch(student, index, functions, places)


@contextmanager
def index_lock(output: Path) -> Iterator[None]:
    """Hold the folder of an index; where another process builds in it, say so and wait."""
    lock = file_lock(output / ".lock", timeout=0)
    with storage_errors(output):
        try:
            lock.acquire()
        except Timeout:
            log.warning("Another process builds an index in %s; this one waits for it", output)
            lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder of files over another, which is replaced when the copy is whole."""
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(source, new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def read_index_record(folder: Path) -> dict[str, Any]:
    """Return what the folder of an index says of itself; raises SigjepaError when it is none, or of another format."""
    if not (folder / INDEX_FILE).is_file():
        raise SigjepaError(
            f"{folder} is no index: it has no {INDEX_FILE}. `sigjepa index corpus=folder corpus.source.paths=[my_repo] "
            "student=<student folder> output=my_index` builds one."
        )
    try:
        record = read_record(folder / INDEX_FILE)
    except DamagedError as damage:
        raise SigjepaError(f"{damage.problem}; {AGAIN}.") from None
    if record.get("format") != FORMAT:
        raise SigjepaError(
            f"{folder} has format {record.get('format')} of an index, and this version of sigjepa reads {FORMAT}; "
            f"{AGAIN}."
        )
    return record


def indexed_student(folder: Path) -> str | None:
    """Return the fingerprint of the student that built an index; None where there is none that can be read."""
    try:
        return str(read_index_record(folder)["student"])
    except SigjepaError:  # none yet, or a damaged one, or of another format: it is built anew
        return None


def verified_manifest(folder: Path) -> Manifest:
    """Return the manifest of an artifact of an index, its files compared; raises SigjepaError for a damaged one."""
    try:
        manifest = Manifest.read(folder)
        manifest.verify()
    except DamagedError as damage:
        raise SigjepaError(f"{damage.problem}; {AGAIN}.") from None
    except SigjepaError:
        raise SigjepaError(f"{folder} is missing; {AGAIN}.") from None
    return manifest
