"""What a person types becomes a signature, and what was made of it is said."""

import textwrap

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.search import divide
from sigjepa.serving.query import function_at, is_signature, read_query

SIGNATURES = [
    'def read_csv(path, sep=","):',
    "@cache\n@app.get('/a:b')\nasync def get(self, *, key: str = 'a:b') -> dict[str, int]:",
    "def f(x=lambda: 1, password='hunter2'):",
]
READ = "@cache  # for good\ndef read(\n    path,  # of a file\n) -> str:"


@pytest.mark.parametrize("text", SIGNATURES)
def test_a_signature_is_searched_as_it_is(text):
    query = read_query(f"  {text}\n")
    assert (query.signature, query.note) == (text, None)
    query = read_query(textwrap.indent(text, "    "))
    assert (query.signature, query.note) == (text, None)


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("def read(path)", "def read(path):"),
        ("def read(path, sep=','", "def read(path, sep=','):"),
        ("def read path", "def read_path():"),
        ("read(path, sep=',') -> list", "def read(path, sep=',') -> list:"),
        ("def add(a, b):\n    return a + b", "def add(a, b):"),
        ("def add(a, b):\n    return a + b\n\nprint(add(1, 2))", "def add(a, b):"),
        ("@property\ndef name(self): return 1", "@property\ndef name(self):"),
        ("    @property\n    def name(self):\n        return 1", "@property\ndef name(self):"),
        ("def f(x):\n    for y in x:", "def f(x):"),
        ("def read(path):  # of a file: or none", "def read(path):"),
        ("@cache  # for good\ndef read(\n    path,  # of a file\n) -> str:  # or none", READ),
        ("def f(x):\n    for y in x:  # each", "def f(x):"),
        ("def f(x):\n\tif x:  # some\n\t\tfor y in x:  # each", "def f(x):"),
        ("def f(x):\n    y = x\n    if y:\n        while x:", "def f(x):"),
        ("read csv file", "def read_csv_file():"),
        ("How to read a CSV file?", "def how_to_read_a_csv_file():"),
        ("readCSVFile", "def readCSVFile():"),
        ("os.path.join", "def join():"),
        ("import", "def import_():"),
        ("3 way merge", "def way_merge():"),
        ("lire le fichier", "def lire_le_fichier():"),
        ("файл прочитать", "def файл_прочитать():"),
        ("straße lesen", "def straße_lesen():"),
        ("à clé", "def à_clé():"),
        ("فتح ٣ file", "def فتح_٣_file():"),
        ("٣ way merge", "def way_merge():"),
        ("x = 1; import os", "def x_1_import_os():"),
    ],
)
def test_what_is_no_signature_becomes_one_and_that_is_said(text, signature):
    query = read_query(text)
    assert query.signature == signature
    assert is_signature(signature)
    assert query.note


@pytest.mark.parametrize("text", ["", "  ", "?!", "123", "()", "x" * 20_000])
def test_what_has_no_word_is_refused_with_what_is_expected(text):
    with pytest.raises(SigjepaError, match="signature"):
        read_query(text)


def test_a_function_of_a_file_is_found_by_any_of_its_lines(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import os\n\n\n@os.cache\ndef outer(a):\n    'Say.'\n    def inner(b):\n        return b\n\n    return inner\n"
    )
    outer, inner = function_at(f"{file}:4"), function_at(f"{file}:8")
    assert (outer.signature, outer.qualname) == ("@os.cache\ndef outer(a):", "outer")
    assert outer.body.startswith("def inner(b):")
    assert (inner.signature, inner.body) == ("def inner(b):", "return b")
    assert function_at(f"{file}:10").qualname == "outer"


@pytest.mark.parametrize("place", ["{}:2", "{}", "{}:x", "{}.missing:3"])
def test_a_place_that_is_in_no_function_is_refused(tmp_path, place):
    file = tmp_path / "module.py"
    file.write_text("x = 1\n\n\ndef f():\n    return 1\n")
    with pytest.raises(SigjepaError, match=r"module\.py"):
        function_at(place.format(file))


def test_code_that_is_no_python_is_refused(tmp_path):
    (tmp_path / "odd.py").write_text("def f(:\n")
    with pytest.raises(SigjepaError, match=r"odd\.py"):
        function_at(f"{tmp_path / 'odd.py'}:1")


@pytest.mark.parametrize(
    ("words", "overrides", "typed"),
    [
        (['def f(x=1, sep=","):', "index=a"], ["index=a"], ['def f(x=1, sep=","):']),
        (["read", "csv", "index=a", "file", "--json"], ["index=a", "--json"], ["read", "csv", "file"]),
        (["from-file", "a.py:3", "index=a"], ["index=a"], ["from-file", "a.py:3"]),
        (["--cfg", "job", "index=a"], ["--cfg", "job", "index=a"], []),
        (["f(x=1)"], [], ["f(x=1)"]),
    ],
)
def test_words_of_the_command_line_are_divided_into_overrides_and_the_query(words, overrides, typed):
    assert divide(words) == (overrides, typed)
