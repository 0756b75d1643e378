import ast

import pytest

from sigjepa.lexicon.mentions import MENTIONS, NAME_VARIANTS, mentions, name_variants
from sigjepa.lexicon.signature import read_signature


def of_body(body):
    tree = ast.parse(body)
    return {
        name: {kind: count for kind, count in zip(MENTIONS, counts, strict=True) if count}
        for name, counts in mentions([*ast.walk(tree)], alone=len(tree.body) == 1).items()
    }


def test_a_body_says_how_it_mentions_each_name():
    found = of_body("""if self.x and not cls.y():
    self.z = 'foo'
    return self.x
def inner(c):
    return a.b.c(a.other, d(a), 'no identifier')
async def late(): pass
return f(e)""")
    assert found == {
        "x": {"own_attribute": 2, "returned": 1},
        "y": {"own_call": 1},
        "z": {"own_attribute_stored": 1},
        "foo": {"text": 1},
        "self": {"name": 3},
        "cls": {"name": 1},
        "inner": {"defined": 1},
        "late": {"defined": 1},
        "b": {"attribute": 1},
        "c": {"call": 1, "returned": 1},
        "other": {"attribute": 1},
        "d": {"name_call": 1},
        "a": {"name": 3},
        "f": {"name_call": 1, "returned": 1},
        "e": {"name": 1},
    }


def test_a_body_of_one_statement_says_so():
    assert of_body("self.save(x)") == {
        "save": {"own_call": 1, "alone": 1},
        "self": {"name": 1, "alone": 1},
        "x": {"name": 1, "alone": 1},
    }
    assert "alone" not in of_body("self.save()\nself.load()")["save"]


def test_every_name_that_a_real_body_loads_is_mentioned(tiny_data):
    for body in tiny_data.corpus.column("body"):
        found = of_body(body)
        loaded = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)]
        names = {node.id for node in loaded if isinstance(node.ctx, ast.Load)}
        assert {name for name, kinds in found.items() if {"name", "name_call"} & set(kinds)} == names


def test_what_is_inherited_is_no_mention():
    assert "save" not in of_body("return super().save(x)")
    assert "save" in of_body("return self.parent.save(x)")


@pytest.mark.parametrize(
    ("name", "variants"),
    [
        ("size", {"size": "exact", "_size": "private"}),
        ("_size", {"_size": "exact", "__size": "private", "size": "public"}),
        ("_", {"_": "exact", "__": "private"}),
    ],
)
def test_a_function_has_its_name_and_two_more(name, variants):
    found = name_variants(read_signature(f"def {name}():"))
    assert {variant: NAME_VARIANTS[flags.index(1)] for variant, flags in found.items()} == variants


def test_what_is_not_python_has_no_name():
    assert name_variants(read_signature("fn f()")) == {}
