import gzip
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from sigjepa.corpus.functions import Extracted
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.store import Store

CASES = Path(__file__).parents[1] / "cases"
GO = {"signature": "func Add(a int, b int) int {", "body": "\tsum := a + b\n\treturn sum\n}"}


def write(file: Path, *rows: Mapping[str, object] | str, **options: Mapping[str, str]) -> JsonLines:
    content = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    file.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)
    return JsonLines(str(file), **options)


def row(**fields: object) -> dict[str, object]:
    return {"repository": "r", "path": "a.py", "code": "def f(x):\n    y = x\n    return y"} | fields


def halves(**fields: object) -> dict[str, object]:
    return {"repository": "r", "path": "a"} | fields


def extracted(source: JsonLines, **limits: int) -> Extracted:
    """The functions of all rows, and what was skipped."""
    functions, skipped = [], Counter[str]()
    for repository in source.repositories():
        contents = repository.read(range(len(repository.paths)))
        for path, content in zip(repository.paths, contents, strict=True):
            found, counts = repository.extract(content, repository=repository.name, path=path, **limits)
            functions += found
            skipped += counts
    return functions, skipped


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_are_files_of_their_repositories(tmp_path: Path, name: str) -> None:
    rows = [row(code="one"), row(repository="q", code="two é"), row(code="three", extra=[1])]
    source = write(tmp_path / name, rows[0], "", *rows[1:])
    found = {repository.name: repository for repository in source.repositories()}
    assert list(found) == ["q", "r"]
    assert found["r"].paths == ["a.py", "a.py"]
    assert [json.loads(line or b"") for line in found["r"].read([1, 0])] == [rows[2], rows[0]]
    assert [json.loads(line or b"") for line in found["q"].read([0])] == [rows[1]]


@pytest.mark.parametrize("margin", ["", "    "])
def test_two_halves_come_back_as_they_were(tmp_path: Path, margin: str) -> None:
    signature, body = "@deco\ndef f(x):", "y = '''\n  a\n'''\nif x:\n    return y"
    given = halves(signature=margin + signature.replace("\n", f"\n{margin}"), body=body)
    ((function,), _) = extracted(write(tmp_path / "rows.jsonl", given))
    assert (function.signature, function.body, function.qualname) == (signature, body, "f")


def test_halves_in_another_language_are_taken_as_they_are(tmp_path: Path) -> None:
    named = halves(**GO, qualname="Add", docstring="Adds \ud800.")
    short = halves(signature="func F() {", body="}\n")
    empty = halves(signature="func F() {", body="\n")
    functions, skipped = extracted(write(tmp_path / "rows.jsonl", named, short, empty))
    assert [(one.signature, one.body, one.qualname, one.docstring) for one in functions] == [
        (GO["signature"], GO["body"], "Add", "Adds ?.")
    ]
    assert skipped == {"short_body": 1, "stub": 1}


DOCUMENTED = '"""Return the name."""\nx = """\n  kept\n"""\nreturn x'
BODY = 'x = """\n  kept\n"""\nreturn x'


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("def name(self)", "def name(self):"),
        ("    def name(\n        self,\n    ) -> str", "def name(\n    self,\n) -> str:"),
        ("@property\n    def name(self):", "@property\ndef name(self):"),
        ("@a(\n        1\n    )\n    async def name(self)", "@a(\n    1\n)\nasync def name(self):"),
    ],
)
@pytest.mark.parametrize("path", ["a", "a.py"])
def test_a_colon_or_an_indentation_that_an_export_cut_off_is_put_back(
    tmp_path: Path, path: str, signature: str, expected: str
) -> None:
    given = halves(path=path, signature=signature, body=DOCUMENTED)
    ((function,), skipped) = extracted(write(tmp_path / "rows.jsonl", given))
    assert (function.signature, function.docstring, function.body) == (expected, "Return the name.", BODY)
    assert not skipped


@pytest.mark.parametrize("signature", ["def f(x):", "def f(x)"])
def test_a_body_whose_first_line_lost_its_indentation_is_read(tmp_path: Path, signature: str) -> None:
    body = '"""Return more.\n\n        Of x.\n        """\n        if x:\n            x = "1"\n        return x\n'
    ((function,), _) = extracted(write(tmp_path / "rows.jsonl", halves(signature=signature, body=body)))
    assert (function.signature, function.docstring) == ("def f(x):", "Return more.\n\nOf x.")
    assert function.body == 'if x:\n    x = "1"\nreturn x'


@pytest.mark.parametrize(
    "given",
    [
        {"path": "a.py", "signature": "def f(x):", "body": "print x\nreturn x"},
        {"path": "a.PYI", "signature": "function f(x) {", "body": "y = x;\nreturn y;\n}"},
        {"path": "a", "signature": "async def f(x)", "body": "x = (\nreturn x"},
        {"path": "a", "signature": "@deco\ndef f(x):", "body": "    y = x\n  z = y\n return z"},
        {"path": "a.b.module", "signature": "def f(x):", "body": "exec x in y\nreturn x"},
        {"path": "a.py", "signature": "class A:", "body": "x = 1\ny = 2"},
    ],
)
def test_halves_that_claim_to_be_python_and_are_not_are_left_out(tmp_path: Path, given: dict[str, str]) -> None:
    functions, skipped = extracted(write(tmp_path / "rows.jsonl", halves(**given)))
    assert (functions, skipped) == ([], {"syntax_error": 1})


@pytest.mark.parametrize(
    ("path", "signature"), [("a.rb", "def f(x)"), ("A.java", "@Override\npublic int f(int x) {"), ("a.sc", "def f() =")]
)
def test_def_and_at_of_another_language_are_no_python(tmp_path: Path, path: str, signature: str) -> None:
    given = halves(path=path, signature=signature, body="  y = x\n  y + 1\nend")
    ((function,), _) = extracted(write(tmp_path / "rows.jsonl", given))
    assert (function.signature, function.body) == (signature, given["body"])


def test_an_indented_method_is_read(tmp_path: Path) -> None:
    ((function,), skipped) = extracted(JsonLines(str(CASES / "indented_method.jsonl")))
    assert (function.signature, function.body, function.line) == ("def f(self):", "x = self.a\nreturn x", 1)
    assert not skipped
    outside = "    # a\n    def f(x):\n        y = '''\nb'''\n        return y\n"
    ((function,), _) = extracted(write(tmp_path / "rows.jsonl", row(code=outside)))
    assert (function.body, function.line) == ("y = '''\nb'''\nreturn y", 2)


def test_a_cookie_in_decoded_text_is_not_followed() -> None:
    ((function,), _) = extracted(JsonLines(str(CASES / "latin1_cookie_with_euro.jsonl")))
    assert function.body == 'x = "€"\nreturn x, a'


@pytest.mark.parametrize(
    "given", [row(), halves(signature="def f(x):", body="y = x\nreturn y"), halves(path="a.go", **GO)]
)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, given: dict[str, str]) -> None:
    marked = {name: text if name in ("repository", "path") else f"\ufeff{text}" for name, text in given.items()}
    plain = extracted(write(tmp_path / "rows.jsonl", given))
    assert len(plain[0]) == 1
    assert extracted(write(tmp_path / "marked.jsonl", marked)) == plain


def test_the_size_of_a_row_is_in_bytes(tmp_path: Path) -> None:
    given = row(code="def f(x):\n    y = 'é'\n    return y")
    source, size = write(tmp_path / "rows.jsonl", given), len(str(given["code"]).encode())
    assert len(extracted(source, max_file_bytes=size)[0]) == 1
    assert extracted(source, max_file_bytes=size - 1) == ([], {"oversized_file": 1})


def test_fields_are_found_by_the_names_of_the_file(tmp_path: Path) -> None:
    given = {"repo": {"name": "r"}, "path": "a.py", "original_string": row()["code"], "code": 3}
    names = {"repository": "repo.name", "code": "original_string"}
    source = write(tmp_path / "rows.jsonl", given, fields=names)
    assert [(one.repository, one.qualname) for one in extracted(source)[0]] == [("r", "f")]
    assert source.fingerprint() != JsonLines(source.path).fingerprint()
    with pytest.raises(SigjepaError, match=r"rows\.jsonl:1: .*corpus\.source\.fields=\{repository"):
        JsonLines(source.path).repositories()
    with pytest.raises(SigjepaError, match="'repo'"):
        JsonLines(source.path, {"repo": "repository"}).repositories()


def test_half_a_surrogate_pair_is_counted_in_code_and_spelt_out_in_names(tmp_path: Path) -> None:
    odd = "\ud800"
    rows = [
        *(row(code=f"x = '{odd}'"), halves(signature=f"def f({odd}):", body="x"), halves(signature="f", body=odd)),
        *(
            row(repository=f"{copy}{odd}", path=odd, code=f"def f(x):\n    y = '{copy}'\n    return y")
            for copy in "abc"
        ),
        halves(**GO, repository="q", qualname=odd, docstring=odd),
    ]
    source = write(tmp_path / "rows.jsonl", *rows)
    corpus = Store(tmp_path / "data").get(CorpusStage(source, near_duplicate_threshold=1.0))
    assert corpus.manifest.facts["skipped"]["undecodable_file"] == 3
    assert set(corpus.column("repository")) == {"a\\ud800", "b\\ud800", "c\\ud800", "q"}
    assert "\\ud800" in corpus.column("qualname")


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", row()), write(tmp_path / "two.jsonl", row())
    assert one.fingerprint() == two.fingerprint()
    assert write(tmp_path / "two.jsonl", row(path="b.py")).fingerprint() != one.fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "JSON"),
        ('["a", "list"]', "object"),
        (json.dumps({"path": "a.py", "code": ""}), "repository"),
        (json.dumps({"repository": "r", "code": ""}), "path"),
        (json.dumps({"repository": "r", "path": "a.py"}), "signature"),
        (json.dumps({"repository": "r", "path": "a.py", "signature": "def f():"}), "body"),
        (json.dumps({"repository": "r", "path": "a.py", "signature": " ", "body": "x"}), "signature"),
        (json.dumps(row(code=3)), "code"),
        (json.dumps(row(repository=None)), "repository"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    source = write(tmp_path / "rows.jsonl", row(), "", line)
    with pytest.raises(SigjepaError, match=rf"rows\.jsonl:3: .*{message}"):
        source.repositories()


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"repository": "\xff"}\n')
    with pytest.raises(SigjepaError, match=r"rows\.jsonl:1: .*JSON"):
        JsonLines(str(tmp_path / "rows.jsonl")).repositories()


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9], gzip.compress(b"x", mtime=0)[:-8] + b"12345678"]
)
def test_a_packed_file_that_is_damaged_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(content)
    with pytest.raises(SigjepaError, match=r"rows\.jsonl\.gz.*corpus\.source\.path"):
        JsonLines(str(tmp_path / "rows.jsonl.gz")).repositories()


@pytest.mark.parametrize("call", ["fingerprint", "repositories"])
def test_a_missing_file_is_named(tmp_path: Path, call: str) -> None:
    with pytest.raises(SigjepaError, match=r"none\.jsonl.*corpus\.source\.path"):
        getattr(JsonLines(str(tmp_path / "none.jsonl")), call)()
