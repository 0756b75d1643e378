"""The words that a person reads in code: its identifiers, split."""

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def split_identifier(name: str) -> list[str]:
    """Return the lower-case words of a snake_case or camelCase name: `parseHTTPHeader_v2` -> parse, http, header, v, 2.

    Whatever is no letter or digit separates, so a whole function's text gives its words in order.
    """
    return [word.lower() for word in _WORD.findall(name)]
