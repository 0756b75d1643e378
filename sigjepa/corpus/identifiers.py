"""The words that a person reads in code: its identifiers, split."""

import unicodedata

import regex

_WORD = regex.compile(  # a mark, such as an accent that stands by itself, belongs to the letter before it
    r"(?:\p{Lu}\p{M}*)+(?!\p{Ll})|(?:\p{Lu}\p{M}*)?(?:[\p{Ll}\p{Lt}\p{Lm}\p{Lo}]\p{M}*)+|\p{Nd}+"
)


def split_identifier(name: str) -> list[str]:
    """Return the lower-case words of a snake_case or camelCase name: `parseHTTPHeader_v2` -> parse, http, header, v, 2.

    Whatever is no letter or digit of any alphabet separates, so a whole function's text gives its words in order.
    """
    return [word.lower() for word in _WORD.findall(normalize(name))]


def normalize(name: str) -> str:
    """Return a name as Python and `ast` know it: letters that differ in form alone, such as `ﬁ` and `fi`, are one."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)
