"""Indexing and searching at the commands, with a flagship that was fitted to nothing."""

import json
import os
import shutil

import pytest
from untrained_student import QUEUE, save_student, write_repository

from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.index import functions_stage
from sigjepa.serving.code_search import CodeSearch, build_index
from sigjepa.serving.student import Student
from sigjepa.store.executors.local import Local
from sigjepa.store.manifest import read_record, write_record


@pytest.fixture(scope="module")
def run(run_python):
    """Run `python -m sigjepa.<command> …` in a folder; returns the finished process."""

    def command(name, *words, cwd, check=True):
        done = run_python(["-m", f"sigjepa.{name}", *words], cwd, os.environ)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return command


@pytest.fixture(scope="module")
def place(tmp_path_factory, run):
    """A folder with a repository, a student, and the index of both."""
    folder = tmp_path_factory.mktemp("search")
    write_repository(folder / "repo")
    save_student(folder / "student")
    words = ("corpus=folder", "corpus.source.paths=[repo]", "student=student", "output=my_index")
    done = run("index", *words, cwd=folder)
    assert "4 functions of 2 files in my_index, 4 of them encoded anew" in done.stdout
    return folder


def results_of(done):
    return json.loads(done.stdout)


def test_a_signature_finds_its_body_and_says_why(run, place):
    done = run(
        "search", 'def push(queue, item, password="hunter22"):', "index=my_index", "top_k=2", "--json", cwd=place
    )
    first, second = results_of(done)
    assert (first["path"], first["line"], first["qualname"]) == ("queue.py", 1, "push")
    assert first["score"] == pytest.approx(sum(share["value"] for share in first["why"]), abs=1e-4)
    assert first["score"] > second["score"]
    terms = {term["text"] for share in first["why"] for term in share["terms"]}
    assert {"queue", "item"} <= terms
    assert not any(term["predicted"] for share in first["why"] for term in share["terms"])
    assert first["changed"] is None


def test_words_are_read_as_a_name_and_the_text_says_so(run, place):
    done = run("search", "write", "rows", "index=my_index", "top_k=1", cwd=place)
    assert "def write_rows():" in done.stdout.splitlines()[0]
    assert "table.py:8" in done.stdout
    assert "stream.writelines" in done.stdout
    assert "why: " in done.stdout
    assert "\x1b" not in done.stdout


def test_many_queries_of_a_file_and_a_function_without_its_own_body(run, place):
    (place / "queries.txt").write_text("def push(queue, item):\n\narea\n")
    first, second = results_of(run("search", "queries=queries.txt", "index=my_index", "json=true", cwd=place))
    assert first["results"][0]["qualname"] == "push"
    assert second["query"] == "def area():"
    assert second["note"]
    found = results_of(run("search", "from-file", "repo/queue.py:2", "index=my_index", "--json", cwd=place))
    assert {each["qualname"] for each in found} == {"read_rows", "write_rows", "Shape.area"}


def test_what_changed_since_is_marked_and_indexed_anew_alone(run, place, tmp_path):
    shutil.copytree(place, tmp_path / "copy")
    folder = tmp_path / "copy"
    words = ("corpus=folder", "corpus.source.paths=[repo]", "student=student", "output=my_index")
    run("index", *words, cwd=folder)  # it lies elsewhere now
    (folder / "repo" / "queue.py").write_text(QUEUE.replace("append", "insert"))
    (folder / "repo" / "tools" / "table.py").unlink()
    found = results_of(run("search", "def push(queue, item):", "index=my_index", "--json", cwd=folder))
    assert {each["qualname"]: each["changed"] for each in found} == {
        **dict.fromkeys(("read_rows", "write_rows", "Shape.area"), "removed"),
        "push": "changed",
    }
    done = run("index", *words, cwd=folder)
    assert "1 functions of 1 files in my_index, 1 of them encoded anew" in done.stdout
    assert len(list((folder / "my_index" / "index").glob("*/manifest.json"))) == 1


def test_an_index_that_can_not_be_searched_is_refused(place, tmp_path):
    save_student(tmp_path / "other", seed=1)
    with pytest.raises(SigjepaError, match="my_index .*student="):
        CodeSearch.open(place / "my_index", tmp_path / "other")
    with pytest.raises(SigjepaError, match="repo .*sigjepa index"):
        CodeSearch.open(place / "repo")
    record = place / "my_index" / "index.json"
    old = tmp_path / "old"
    shutil.copytree(place / "my_index", old)
    write_record(old / "index.json", {**read_record(record), "format": 0})
    with pytest.raises(SigjepaError, match=r"format 0.*sigjepa index"):
        CodeSearch.open(old)
    shutil.copy(record, old)
    (file,) = (old / "index").glob("*/part-00000.dense.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(SigjepaError, match=r"dense\.npy.*sigjepa index"):
        CodeSearch.open(old)
    shutil.copytree(place / "my_index", old, dirs_exist_ok=True)
    shutil.rmtree(old / "student")
    with pytest.raises(SigjepaError, match=r"student .*sigjepa index"):
        CodeSearch.open(old)


def test_an_index_that_another_student_builds_anew_says_so(place, tmp_path, caplog):
    shutil.copytree(place / "my_index", tmp_path / "my_index")
    save_student(tmp_path / "other", seed=1)
    stage = functions_stage(CorpusStage(Folder([str(place / "repo")]), min_body_statements=1, max_body_lines=1000))
    for folder, warned in ((place / "student", False), (tmp_path / "other", True)):
        search = build_index(tmp_path / "my_index", stage, Student.from_pretrained(folder), folder, Local())
        assert ("index of another student" in caplog.text) is warned
    assert CodeSearch.open(tmp_path / "my_index").student.fingerprint == search.student.fingerprint


@pytest.mark.parametrize("record", [b"{", b"null"])
def test_an_index_whose_record_can_not_be_read_is_built_anew(place, tmp_path, caplog, record):
    shutil.copytree(place / "my_index", tmp_path / "my_index")
    path = tmp_path / "my_index" / "index.json"
    path.write_bytes(record)
    student = Student.from_pretrained(place / "student")
    stage = functions_stage(CorpusStage(Folder([str(place / "repo")]), min_body_statements=1, max_body_lines=1000))
    build_index(tmp_path / "my_index", stage, student, place / "student", Local())
    write_record(path, {**read_record(path), "format": 0})
    built = build_index(tmp_path / "my_index", stage, student, place / "student", Local())
    assert len(CodeSearch.open(tmp_path / "my_index")) == len(built) > 0
    assert "another student" not in caplog.text


def test_what_can_not_be_indexed_is_refused(place, tmp_path):
    with pytest.raises(SigjepaError, match=r"corpus\.split_seed"):
        functions_stage(CorpusStage(Folder([str(place / "repo")]), split_seed=3))
    student = Student.from_pretrained(place / "student")
    stage = functions_stage(CorpusStage(Folder([str(place / "repo")]), min_body_statements=1, max_body_lines=1000))
    with pytest.raises(SigjepaError, match="output="):
        build_index(place / "repo", stage, student, place / "student", Local())


def test_mistakes_at_the_commands_are_one_line(run, place):
    for words, said in [
        (("search", "?", "index=my_index"), "is no signature"),
        (("search", "index=my_index"), "no query in standard input"),
        (("search", "f", "index=my_index", "top_k=0"), "top_k=0"),
        (("search", "f", "index=repo"), "repo is no index"),
        (("index", "corpus.source.paths=[repo]", "output=new", "student=repo"), "repo is no student"),
    ]:
        done = run(*words, cwd=place, check=False)
        assert done.returncode == 1, words
        assert said in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
