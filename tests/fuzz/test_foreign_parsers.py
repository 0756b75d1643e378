import pytest
from foreign_parsers import PARSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# What trips parsers: nesting, numbers and names beyond bounds, half a surrogate pair, other line ends and encodings.
AWKWARD = st.sampled_from(
    [
        *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\x0c", "\u2028".encode(), b"\\ud800", b"\xed\xa0\x80"),
        *(b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"true", b"null", b'""', b"{}", b"[]", b"[[", b"{'a':"),
        *(b"[" * 5000, b'{"a":' * 5000, b"(" * 300, b"${oc.env:HOME}", b"${", b"???", b"!!python/object:os.system"),
        *(b"&a [*a]", b"../", b"\\", b"# coding: undefined\n", b"# coding: rot13\n", b"lambda: " * 2000),
    ]
)


@st.composite
def mutated(draw, seeds):
    """A good file with pieces cut out, repeated, overwritten and put in."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(start + 40, len(content))))
        content[start:stop] = draw(st.one_of(st.binary(max_size=8), AWKWARD, st.just(bytes(content[start:stop]) * 2)))
    return bytes(content)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_any_bytes_are_read_or_refused(parser):
    @settings(max_examples=250, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutated(parser.seeds), mutated(parser.seeds), st.binary(max_size=200)))
    def read(content):
        parser.read(content)

    read()
