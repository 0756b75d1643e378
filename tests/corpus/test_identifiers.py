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
        ("größe_über", ["größe", "über"]),
        ("numéroDeClient", ["numéro", "de", "client"]),
        ("HTTPÜberschrift2", ["http", "überschrift", "2"]),
        ("вычислить_сумму", ["вычислить", "сумму"]),
        ("合計を計算_2", ["合計を計算", "2"]),
        ("नाम", ["नाम"]),
        ("gro\u0308\u00dfe", ["größe"]),  # an accent that stands by itself
        ("ﬁle: ½", ["file", "1", "2"]),
    ],
)
def test_split_identifier(name, words):
    assert split_identifier(name) == words


def test_a_whole_function_gives_its_words_in_order():
    text = "def readJSON(path): return loads(path.read_text())"
    assert split_identifier(text) == ["def", "read", "json", "path", "return", "loads", "path", "read", "text"]
