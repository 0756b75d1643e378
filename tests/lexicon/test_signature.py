import inspect
import sys

import pytest

from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.signature import PARAMETER_FLAGS, ROLES, read_signature
from sigjepa.lexicon.terms import term_hash


def test_every_text_has_its_role():
    signature = (
        "@app.route('/é', methods=[\n    'GET'])\n@cached\n"
        "async def get_user(self, é: 'User' = None, /, *ids: int, limit=MAX_é,  # at most\n"
        "    key: dict[str, int], **options: Any) -> list[User]:"
    )
    assert read_signature(signature).texts == [
        ("name", "get_user"),
        *(("parameter", name) for name in ("self", "é", "ids", "limit", "key", "options")),
        ("decorator", "app.route('/é', methods=[\n    'GET'])"),
        ("decorator", "cached"),
        *(("annotation", text) for text in ("'User'", "int", "dict[str, int]", "Any")),
        ("default", "None"),
        ("default", "MAX_é"),
        ("return", "list[User]"),
    ]


def test_an_expression_that_is_no_python_without_its_brackets_is_read():
    signature = 'def find(\n    self,\n    query="SELECT *"\n          """ FROM x\n          """\n    " WHERE y",\n):'
    assert ("default", signature[signature.index('"SELECT') : signature.index(",\n)")]) in read_signature(
        signature
    ).texts


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
def test_bounds_of_type_parameters_are_annotations():
    texts = read_signature("def first[Item: Hashable, *Rest](rows: list[Item]) -> Item:").texts
    assert ("annotation", "Hashable") in texts


def flags(signature):
    parameters = read_signature(signature).parameters
    return {name: [flag for flag, value in zip(PARAMETER_FLAGS, row, strict=True) if value] for name, row in parameters}


def test_flags_of_parameters():
    assert flags("def f(self, a: int = 1, /, b=None, *rest: str, c, d=None, **others):") == {
        "self": ["first"],
        "a": ["annotated", "has_default"],
        "b": ["has_default", "none_default"],
        "rest": ["starred", "annotated"],
        "c": ["keyword_only"],
        "d": ["keyword_only", "has_default", "none_default"],
        "others": ["starred"],
    }
    assert flags("def f(*, a):") == {"a": ["keyword_only"]}
    assert flags("def f():") == {}


def test_parameters_are_those_of_inspect():
    def function(a, /, b: int = 2, *c, d, e: str = "x", **f):
        """Only its signature is looked at."""

    said = inspect.signature(function).parameters
    written = "def function(a, /, b: int = 2, *c, d, e: str = 'x', **f):"
    assert flags(written).keys() == said.keys()
    for name, parameter in said.items():
        assert ("has_default" in flags(written)[name]) == (parameter.default is not parameter.empty)
        assert ("annotated" in flags(written)[name]) == (parameter.annotation is not parameter.empty)
        assert ("keyword_only" in flags(written)[name]) == (parameter.kind is parameter.KEYWORD_ONLY)
        assert ("starred" in flags(written)[name]) == (
            parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )


@pytest.mark.parametrize(
    "signature",
    ["function add(a, b)", "def f(x", "class A:", "f", "", "def f(): pass\ndef g():", "def f(a):\0", "x = 1;"],
)
def test_what_is_no_python_signature_has_words_of_the_role_other(signature):
    read = read_signature(signature)
    assert (read.texts, read.parameters, read.parsed) == ([("other", signature)], [], False)


def test_a_name_of_one_letter():
    terms, unparsed = extract_terms(["def f():"], ["pass"])
    assert terms.signature_words.terms.tolist() == [term_hash("f")]
    assert terms.signature_words.values.tolist() == [[int(role == "name") for role in ROLES]]
    assert len(terms.parameters.terms) == len(terms.free_names.terms) == 0
    assert set(unparsed.values()) == {0}
