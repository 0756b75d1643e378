import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.lexicon.mentions import MENTIONS
from sigjepa.lexicon.signature import read_signature
from sigjepa.lexicon.structure import (
    BODY_STRUCTURES,
    SIGNATURE_STRUCTURES,
    body_structure,
    signature_structure,
)


def structure(signature):
    return signature_structure(signature, read_signature(signature))


def test_every_structure_of_real_functions_has_a_column(tiny_data):
    assert len(set(BODY_STRUCTURES)) == len(BODY_STRUCTURES)
    assert len(set(SIGNATURE_STRUCTURES)) == len(SIGNATURE_STRUCTURES)
    seen = set()
    for signature, body in zip(*(tiny_data.corpus.column(half) for half in ("signature", "body")), strict=True):
        of_signature, (of_body, _) = structure(signature), body_structure(body)
        assert set(of_signature) <= set(SIGNATURE_STRUCTURES)
        assert set(of_body) <= set(BODY_STRUCTURES)
        assert of_signature["function"] == 1
        seen |= set(of_body)
    assert len(seen) > len(BODY_STRUCTURES) / 2


@pytest.mark.parametrize(
    ("signature", "holds"),
    [
        ("def get_it():", {"function", "plain", "parameters_0", "no_return_type", "verb_get"}),
        ("def __eq__(self, other):", {"function", "self", "parameters_1", "no_return_type", "special", "special_eq"}),
        (
            "@abc.abstractmethod\n@property\nasync def _isOpen(self, *, b=True) -> Optional[bool]:",
            {
                *("function", "async", "self", "parameters_1", "defaults", "bool_default", "private", "camel_case"),
                *("decorated", "decorator_abstractmethod", "decorator_property", "verb_is"),
                *("return_type_bool", "return_type_Optional"),
            },
        ),
        (
            "@classmethod\ndef x(cls, a: int, b=None, *args, **kwargs) -> 'Thing':",
            {
                *("function", "cls", "parameters_2", "starred", "double_starred", "defaults", "annotated"),
                *("none_default", "one_word", "decorated", "decorator_classmethod", "other_return_type"),
            },
        ),
        ("int f(int x)", set()),
    ],
)
def test_a_signature_says_what_kind_of_function_it_is(signature, holds):
    counts = structure(signature)
    assert {name for name in counts if name not in ("parameters", "words")} == holds


def test_parameters_and_words_are_counted():
    counts = structure("def set_open_files(self, a, b, *, c):")
    assert (counts["parameters"], counts["words"], counts["parameters_3"]) == (3, 3, 1)
    assert structure("def f(a, b, c, d, e, g):")["parameters_4"] == 1


def test_a_body_says_what_it_does():
    body = """if self.x and not cls.y():
    return
self.z = 'foo'
for a in self.x:
    yield a
async def inner():
    await a.other
raise NotImplementedError
return not isinstance(b, type)"""
    counts, _ = body_structure(body)
    expected = {
        *("lines", "statements", "if", "bool_operation", "call", "return", "return_nothing", "own_attribute", "text"),
        *("own_attribute_stored", "for", "yield", "inner_function", "await", "raise", "not_implemented_error"),
        *("return_condition", "isinstance", "type"),
    }
    assert set(counts) == expected
    assert (counts["lines"], counts["statements"], counts["own_attribute"], counts["call"]) == (9, 6, 3, 2)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read(text):
    counts, mentions = body_structure(text)
    assert set(counts) <= set(BODY_STRUCTURES)
    assert all(len(each) == len(MENTIONS) for each in mentions.values())
    assert set(structure(text)) <= set(SIGNATURE_STRUCTURES)
