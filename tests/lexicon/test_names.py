import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.lexicon.names import bare_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("self.x + y.z(w)", ["self", "y", "w"]),
        ("for a in b: return None", ["a", "b"]),
        ("rb\"raw\" + F'{name}' + u'x' + Br'''y'''", ["raw", "name", "x", "y"]),
        ('name"text"', ["name", "text"]),  # no prefix of a string
        ('bar"a" rbx"b" brb"c"', ["bar", "a", "rbx", "b", "brb", "c"]),
        ("b = r + rb", ["b", "r", "rb"]),
        ("open(x, 'rb')", ["open", "x", "rb"]),
        ("0x1F + 1e5 + 1.real", []),
        ("ﬁeld = naïve", ["field", "naïve"]),
        ("नाम = gro\u0308ße + x²", ["नाम", "größe", "x2"]),
        ('t"hi {name}" + rt"x" + "-t"', ["hi", "name", "x", "t"]),
        ("function f($x) { let y = 1; }", ["function", "f", "x", "let", "y"]),
        ("", []),
    ],
)
def test_bare_names(text, names):
    assert bare_names(text) == names


WORDS = st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd", "Mn", "Mc"]), max_size=5)


@given(st.lists(WORDS.map("x{}".format).filter(str.isidentifier), max_size=4))
def test_every_name_is_what_python_reads(names):
    code = " ; ".join(names)
    assert bare_names(code) == [node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
