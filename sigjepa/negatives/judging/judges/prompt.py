"""The prompt of a language-model judge: a versioned file, and two functions quoted in it so that they stay data."""

import importlib.resources
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.negatives.judging.judges.judge import JudgeRequest

Messages = list[dict[str, str]]

CHARACTERS_PER_TOKEN = 3.5  # of code and English in the vocabularies of current models; what estimates rest on

_HEADING = re.compile(r"^# (\w+)\n", re.MULTILINE)
# What could close the quotation, or be a special token or turn of a chat: any tag, `<|im_end|>`, `</s>`, `[/INST]`.
# Comparisons and shifts (`a < b`, `a <= b`, `a << 2`) stay as they are.
_MARKUP = re.compile(r"<(?![\s=<\d])|\[(?=/?[A-Z_]{3,}\])")


@dataclass(frozen=True)
class Prompt:
    """The sections of a prompt file; `version` is its name, and `digest` changes with its content."""

    version: str
    digest: str
    system: str
    user: tuple[str, str]
    repair: tuple[str, str] | None

    def messages(self, request: JudgeRequest, max_code_characters: int) -> Messages:
        """Return a system and a user message that ask about `request`, at most that much of each body shown."""
        before, after = self.user
        user = f"{before}{quoted(request, max_code_characters)}{after}"
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]

    def repair_message(self, problem: str) -> str:
        """Return what is said to a model whose answer can't be used; raises SigjepaError for a prompt without that
        section.
        """
        if self.repair is None:
            raise SigjepaError(
                f"negatives.judge.prompt={self.version} has no section '# repair'; give a prompt that has one."
            )
        return problem.join(self.repair)


def load_prompt(name: str) -> Prompt:
    """Return a prompt of this package by its name, or a file of the same form by its path ending in `.md`.

    Raises SigjepaError for one that does not exist or lacks a section or placeholder.
    """
    folder = importlib.resources.files("sigjepa.negatives.judging.judges") / "prompts"
    if name.endswith(".md"):
        file = Path(name)
        if not file.is_file():
            raise SigjepaError(f"negatives.judge.prompt={name} does not exist; give the path of a prompt file.")
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SigjepaError(f"negatives.judge.prompt={name} can't be read as UTF-8 text ({error}).") from None
    else:
        known = sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))
        if name not in known:
            raise SigjepaError(
                f"There is no negatives.judge.prompt={name}.{nearest_name(name, known)} There are {', '.join(known)}, "
                "and "
                "any file ending in .md."
            )
        text = (folder / f"{name}.md").read_text(encoding="utf-8")
    parts = _HEADING.split(text)
    sections = {heading: body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    if missing := {"system", "user"} - sections.keys():
        raise SigjepaError(f"negatives.judge.prompt={name} has no section '# {min(missing)}'.")
    return Prompt(
        version=Path(name).stem,
        digest=f"xxh3_128:{xxhash.xxh3_128_hexdigest(text.encode())}",
        system=sections["system"],
        user=_around(name, sections["user"], "{{functions}}"),
        repair=_around(name, sections["repair"], "{{problem}}") if "repair" in sections else None,
    )


def quoted(request: JudgeRequest, max_code_characters: int) -> str:
    """Return both functions as one JSON object in one line of ASCII, with nothing in it that could end the
    quotation.
    """
    halves = {
        "first": (request.anchor_signature, request.anchor_body),
        "second": (request.neighbor_signature, request.neighbor_body),
    }
    functions = {name: _shown(*half, max_code_characters) for name, half in halves.items()}
    return _MARKUP.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(functions))


def estimated_tokens(conversations: Iterable[Messages]) -> int:
    """Return about how many tokens these messages are, by their characters."""
    characters = sum(len(message["content"]) for messages in conversations for message in messages)
    return round(characters / CHARACTERS_PER_TOKEN)


def _shown(signature: str, body: str, limit: int) -> dict[str, Any]:
    shown = {"signature": signature[:limit], "body": body[:limit]}
    left_out = len(signature) + len(body) - sum(map(len, shown.values()))
    return shown | ({"characters_left_out": left_out} if left_out else {})


def _around(name: str, section: str, placeholder: str) -> tuple[str, str]:
    if section.count(placeholder) != 1:
        raise SigjepaError(
            f"negatives.judge.prompt={name} must hold {placeholder} once, it holds it {section.count(placeholder)} "
            "times."
        )
    before, after = section.split(placeholder)
    return before, after
