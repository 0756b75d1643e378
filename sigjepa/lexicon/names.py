"""Bare names: the identifiers of a text with no dot before them, Python or not."""

import keyword

import regex

from sigjepa.corpus.identifiers import normalize

# where a quote precedes the letter, it is all of a string; "-t" and "\t" are no prefix of a template either
STRING_PREFIX = r"(?:(?<![\"'])(?i:[rbuf]|rb|br|rf|fr)|(?<![^\s(\[{,:=+])(?i:t|rt|tr))[\"']"
BARE_NAME = regex.compile(rf"(?<![\p{{XID_Continue}}.])(?!{STRING_PREFIX})[_\p{{XID_Start}}]\p{{XID_Continue}}*")
"""What Python takes for an identifier, in text that is normalized."""


def bare_names(text: str) -> list[str]:
    """Return the identifiers of a text that no dot precedes, in order, without Python's keywords.

    Names in strings and comments count: they are of the function's own vocabulary, and f-strings use them.
    """
    return [name for name in BARE_NAME.findall(normalize(text)) if not keyword.iskeyword(name)]
