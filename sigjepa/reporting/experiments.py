"""Experiments that share a name, told apart by the settings in which they differ."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sigjepa.store.manifest import content_key, flatten

MAX_VALUE = 40
"""Letters of a value in a name."""


def distinct_labels(named: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return a label for each run: its name and, where other settings share it, what differs, `name · lr=1`.

    named: the name of each run, and the settings that make its experiment; a run without any, which has not begun,
    keeps its name. Where words tell two apart no more, as `1` and `"1"`, the hash of the settings does.
    """
    keys = [content_key(settings) if settings else "" for _, settings in named]
    identities: dict[str, dict[str, Mapping[str, Any]]] = {}
    for (name, settings), key in zip(named, keys, strict=True):
        if key:
            identities.setdefault(name, {})[key] = settings
    suffixes = {name: differences_of(settings) for name, settings in identities.items()}
    labels = [f"{name}{suffixes.get(name, {}).get(key, '')}" for (name, _), key in zip(named, keys, strict=True)]
    begun = {(label, name, key) for label, (name, _), key in zip(labels, named, keys, strict=True) if key}
    shared = {label for label, count in Counter(label for label, *_ in begun).items() if count > 1}
    return [f"{label} · {key[:6]}" if label in shared else label for label, key in zip(labels, keys, strict=True)]


def differences_of(identities: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return by key ` · key=value, …` with as few settings as tell all of `identities` apart; empty for a single one.

    A `name`, then what stands least deep, is taken before others. A setting that one does not have is left out there.
    """
    leaves = {key: dict(flatten(settings)) for key, settings in identities.items()}
    texts = {key: {place: shown(value) for place, value in flat.items()} for key, flat in leaves.items()}
    places = sorted(
        {place for flat in texts.values() for place in flat},
        key=lambda place: (not place.endswith(".name"), place.count("."), place),
    )
    chosen: list[str] = []
    parted: dict[str, tuple[str | None, ...]] = dict.fromkeys(texts, ())
    for place in places:
        finer = {key: (*values, texts[key].get(place)) for key, values in parted.items()}
        if len(set(finer.values())) > len(set(parted.values())):
            chosen, parted = [*chosen, place], finer
    suffixes = {}
    for key, values in parted.items():
        pairs = [(place, value) for place, value in zip(chosen, values, strict=True) if value is not None]
        suffixes[key] = " · " * bool(pairs) + ", ".join(f"{place}={cut(value)}" for place, value in pairs)
    return suffixes


def shown(value: Any) -> str:
    """Return a value as an override is written."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str) -> str:
    """Return a text of at most `MAX_VALUE` letters; what is cut keeps a hash, so that labels stay different."""
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 7]}…{content_key({'text': text})[:6]}"
