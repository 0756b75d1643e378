import pytest

from sigjepa.corpus.identifiers import split_identifier


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parseHTTPHeader_v2", ["parse", "http", "header", "v", "2"]),
        ("snake_case_name", ["snake", "case", "name"]),
        ("__init__", ["init"]),
        ("URL", ["url"]),
        ("_", []),
    ],
)
def test_split_identifier(name, words):
    assert split_identifier(name) == words


def test_a_whole_function_gives_its_words_in_order():
    text = "def readJSON(path): return loads(path.read_text())"
    assert split_identifier(text) == ["def", "read", "json", "path", "return", "loads", "path", "read", "text"]
