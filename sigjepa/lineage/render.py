"""A chain as text: a tree of things with their checks, and how many of them hold."""

import shlex
from typing import Any

from sigjepa.lineage.report_types import STATES, WRONG, Link


def text_of(link: Link) -> str:
    """The tree, and a last line that says whether the chain holds."""
    counts = link.counts()
    said = ", ".join(f"{counts[state]} {state}" for state in STATES)
    verdict = "The chain holds" if link.holds() else f"The chain does NOT hold ({' or '.join(WRONG)} above)"
    return "\n".join([*lines(link, ""), "", f"{verdict}: {said}."])


def lines(link: Link, indent: str) -> list[str]:
    """A thing and, indented below it, what it was made from."""
    told = [f"{indent}{link.kind}  {link.path}"]
    told += [f"{indent}    {line}" for line in made_lines(link.made)]
    for check in link.checks:
        count = f"{check.count:,} " if check.count > 1 else ""
        detail = f": {check.detail}" if check.detail else ""
        told.append(f"{indent}    {check.state:<12}  {count}{check.what}{detail}")
    for above in link.upstream:
        told += ["", *lines(above, f"{indent}  ")]
    return told


def made_lines(made: dict[str, Any]) -> list[str]:
    """How a thing was made: when, by which code, by which command, with which versions."""
    told = []
    if "time" in made:
        told.append(f"made {made['time']}")
    code = made.get("code") or made.get("git")
    if code:
        sha = code.get("sha") or "no commit known"
        told.append(f"code {sha}{', not as committed' if code.get('dirty') else ''}")
    if "command" in made:
        told.append(f"command {shlex.join(made['command'])}")
    if "versions" in made:
        told.append("versions " + ", ".join(f"{name} {version}" for name, version in made["versions"].items()))
    if made.get("environment"):
        environment = made["environment"]
        told.append(
            f"on {environment.get('device')}, {environment.get('threads')} threads, deterministic: "
            f"{environment.get('deterministic')}"
        )
    if made.get("starts", 1) > 1:
        told.append(f"started {made['starts']} times: {', '.join(str(start['time']) for start in made['started'])}")
    if "note" in made:
        told.append(str(made["note"]))
    if "step" in made:
        told.append(f"epoch {made['epoch']}, step {made['step']}")
    return told
