"""A lineage as text: a tree of things with their checks, and how many of them hold."""

import shlex
from typing import Any

from sigjepa.store.lineage import STATES, WRONG_STATES, Link


def lineage_text(link: Link) -> str:
    """Return the tree, and a last line that says whether the chain holds."""
    counts = link.counts()
    said = ", ".join(f"{counts[state]} {state}" for state in STATES)
    verdict = "The chain holds" if link.holds() else f"The chain does NOT hold ({' or '.join(WRONG_STATES)} above)"
    return "\n".join([*lines(link, ""), "", f"{verdict}: {said}."])


def lines(link: Link, indent: str) -> list[str]:
    """Return a thing and, indented below it, what it was built from."""
    text = [f"{indent}{link.kind}  {link.path}"]
    text += [f"{indent}    {line}" for line in origin_lines(link.origin)]
    for check in link.checks:
        count = f"{check.count:,} " if check.count > 1 else ""
        detail = f": {check.detail}" if check.detail else ""
        text.append(f"{indent}    {check.state:<12}  {count}{check.what}{detail}")
    for upstream in link.upstream:
        text += ["", *lines(upstream, f"{indent}  ")]
    return text


def origin_lines(origin: dict[str, Any]) -> list[str]:
    """Return the origin of a thing: when, by which code, by which command, with which versions."""
    text = []
    if "time" in origin:
        text.append(f"built {origin['time']}")
    code = origin.get("code") or origin.get("git")
    if code:
        sha = code.get("sha") or "no commit known"
        text.append(f"code {sha}{', not as committed' if code.get('dirty') else ''}")
    if "command" in origin:
        text.append(f"command {shlex.join(origin['command'])}")
    if "versions" in origin:
        text.append("versions " + ", ".join(f"{name} {version}" for name, version in origin["versions"].items()))
    if origin.get("environment"):
        environment = origin["environment"]
        text.append(
            f"on {environment.get('device')}, {environment.get('threads')} threads, deterministic: "
            f"{environment.get('deterministic')}"
        )
    if origin.get("starts", 1) > 1:
        text.append(f"started {origin['starts']} times: {', '.join(str(start['time']) for start in origin['started'])}")
    if "note" in origin:
        text.append(str(origin["note"]))
    if "step" in origin:
        text.append(f"epoch {origin['epoch']}, step {origin['step']}")
    return text
