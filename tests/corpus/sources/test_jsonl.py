import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sigjepa.corpus.functions import extract_functions
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.errors import SigjepaError


def write(file: Path, *rows: Mapping[str, object] | str) -> JsonLines:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return JsonLines(str(file))


def row(**fields: object) -> dict[str, object]:
    return {"repository": "r", "path": "a.py", "code": "def f(x):\n    y = x\n    return y"} | fields


def test_rows_are_files_of_their_repositories(tmp_path: Path) -> None:
    source = write(
        tmp_path / "rows.jsonl", row(code="one"), "", row(repository="q", code="two é"), row(code="three", extra=[1])
    )
    found = {repository.name: repository for repository in source.repositories()}
    assert list(found) == ["q", "r"]
    assert found["r"].paths == ["a.py", "a.py"]
    assert list(found["r"].read([1, 0])) == [b"three", b"one"]
    assert list(found["q"].read([0])) == ["two é".encode()]


def test_two_halves_come_back_as_they_were(tmp_path: Path) -> None:
    signature, body = "@deco\ndef f(x):", "y = '''\n  a\n'''\nif x:\n    return y"
    halves = {"repository": "r", "path": "a.py", "signature": signature, "body": body}
    (repository,) = write(tmp_path / "rows.jsonl", halves).repositories()
    (content,) = repository.read([0])
    assert content is not None
    (function,), _ = extract_functions(content, repository="r", path="a.py")
    assert (function.signature, function.body) == (signature, body)


def test_code_with_an_encoding_cookie_is_not_garbled(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", row(code="# coding: latin-1\ndef f(x):\n    y = 'é'\n    return y"))
    (content,) = source.repositories()[0].read([0])
    assert content is not None
    (function,), _ = extract_functions(content, repository="r", path="a.py")
    assert function.body.startswith("y = 'é'")


def test_half_a_surrogate_pair_is_counted_as_undecodable(tmp_path: Path) -> None:
    (content,) = write(tmp_path / "rows.jsonl", row(code="x = '\ud800'")).repositories()[0].read([0])
    assert content is not None
    assert extract_functions(content, repository="r", path="a.py") == ([], {"undecodable_file": 1})


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", row()), write(tmp_path / "two.jsonl", row())
    assert one.fingerprint() == two.fingerprint()
    assert write(tmp_path / "two.jsonl", row(path="b.py")).fingerprint() != one.fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "not valid JSON"),
        ('["a", "list"]', "must be a JSON object, not list"),
        (json.dumps({"path": "a.py", "code": ""}), "'repository' is missing"),
        (json.dumps({"repository": "r", "code": ""}), "'path' is missing"),
        (json.dumps({"repository": "r", "path": "a.py"}), "'signature' is missing"),
        (json.dumps({"repository": "r", "path": "a.py", "signature": "def f():"}), "'body' is missing.*'code' or both"),
        (json.dumps(row(code=3)), "'code' is not a string"),
        (json.dumps(row(repository=None)), "'repository' is not a string"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    source = write(tmp_path / "rows.jsonl", row(), "", line)
    with pytest.raises(SigjepaError, match=rf"rows\.jsonl:3: .*{message}"):
        source.repositories()


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"repository": "\xff"}\n')
    with pytest.raises(SigjepaError, match=r"rows\.jsonl:1: not valid JSON"):
        JsonLines(str(tmp_path / "rows.jsonl")).repositories()


@pytest.mark.parametrize("call", ["fingerprint", "repositories"])
def test_a_missing_file_is_named(tmp_path: Path, call: str) -> None:
    with pytest.raises(SigjepaError, match=r"none\.jsonl does not exist.*corpus\.source\.path"):
        getattr(JsonLines(str(tmp_path / "none.jsonl")), call)()
