"""Bare names: the identifiers of a text with no dot before them, Python or not."""

import keyword
import re
import unicodedata

STRING_PREFIX = r"(?<![\"'])(?i:[rbuf]|rb|br|rf|fr)[\"']"  # where a quote precedes the letter, it is all of a string
BARE_NAME = re.compile(rf"(?<![\w.])(?!{STRING_PREFIX})[^\W\d]\w*")


def bare_names(text: str) -> list[str]:
    """Return the identifiers of a text that no dot precedes, in order, without Python's keywords.

    Names in strings and comments count: they are of the function's own vocabulary, and f-strings use them.
    """
    return [name for name in map(normalize, BARE_NAME.findall(text)) if not keyword.iskeyword(name)]


def normalize(name: str) -> str:
    """Return a name as Python and `ast` know it: letters that differ in form alone, such as `ﬁ` and `fi`, are one."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)
