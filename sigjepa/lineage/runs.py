"""Runs and checkpoints: their config, code, files, and the artifacts that they were made from."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.lineage.artifacts import NOT_RECORDED, Cache, artifact, upstream_checks
from sigjepa.lineage.report_types import Check, Link, compared
from sigjepa.store.files import file_digest, read_json
from sigjepa.store.manifest import content_key
from sigjepa.training.provenance import FILES_FILE, PROVENANCE_FILE, code_of


def checkpoint(path: Path, data_dir: Path | None) -> Link:
    """A checkpoint, and the run that it belongs to: the folder above `checkpoints/`."""
    import torch  # noqa: PLC0415 - slow to import

    link = Link("checkpoint", str(path))
    run_dir = path.resolve().parent.parent
    if not (run_dir / PROVENANCE_FILE).is_file():
        link.checks.append(Check("run", "missing", f"{run_dir / PROVENANCE_FILE} does not exist"))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        config = dict(content["hyper_parameters"])
    except (RuntimeError, OSError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        link.checks.append(Check("weights and config", "changed", f"it can't be read as a checkpoint ({reason})"))
        config = None
    if link.checks and link.checks[0].state == "missing":
        return link
    recorded = recorded_files(run_dir)
    name = path.resolve().relative_to(run_dir).as_posix()
    if name in recorded:
        link.checks.append(compared("digest", file_digest(path), recorded[name]))
    else:
        link.checks.append(Check("digest", "not recorded", "the run is not finished, or of before it was recorded"))
    if config is not None:
        facts = read_json(run_dir / PROVENANCE_FILE)
        link.made = {"epoch": content.get("epoch"), "step": content.get("global_step")}
        link.checks.append(compared("config inside", content_key(config), facts.get("config_hash")))
    link.upstream.append(run(run_dir, data_dir))
    return link


def run(run_dir: Path, data_dir: Path | None) -> Link:
    """A run directory and the artifacts that it was made from, found below `data_dir` or where they were then."""
    link = Link("run", str(run_dir))
    facts = read_json(run_dir / PROVENANCE_FILE)
    git = facts.get("git") or {}
    link.made = {key: facts[key] for key in ("time", "command", "git", "versions", "environment") if key in facts}
    link.checks.append(compared("config", content_key(facts["config"]), facts.get("config_hash")))
    starts = facts.get("started") or []
    if not starts:
        link.checks.append(Check("starts", "not recorded", NOT_RECORDED))
    codes = list(dict.fromkeys(code_of(start.get("git") or {}) for start in starts))
    if starts:
        link.made["starts"] = len(starts)
        link.made["started"] = [{"time": start.get("time"), "git": start.get("git")} for start in starts]
        if len(codes) > 1:
            link.made["note"] = f"continued by other code: {len(codes)} states of it over {len(starts)} starts"
    link.checks += diff_checks(run_dir, [git, *(start.get("git") or {} for start in starts)])
    link.checks += file_checks(run_dir)
    cache = Cache(data_dir or Path(facts["data_dir"]))
    recorded: Mapping[str, Any] = facts.get("upstream") or {}
    names = facts.get("artifacts") or {}
    kind = "negatives" if names.get("negatives") else "shards"
    if names.get(kind):
        link.upstream.append(artifact(kind, cache.folder(kind, names[kind]), cache))
    if recorded:
        link.checks += upstream_checks(recorded, cache)
    else:
        link.checks.append(Check("digests of its artifacts", "not recorded", NOT_RECORDED))
        met = {digest for (above, _), digest in cache.digests.items() if above == "corpus"}
        wanted = names.get("corpus_hash")
        link.checks.append(compared("hash of its corpus", wanted if wanted in met else min(met, default=None), wanted))
    return link


def diff_checks(run_dir: Path, states: list[Mapping[str, Any]]) -> list[Check]:
    """The diffs of code that was not as committed, each once."""
    checks: dict[str, Check] = {}
    for git in states:
        diff = git.get("diff")
        if git.get("dirty") and not diff:
            checks.setdefault("", Check("diff of the code", "not recorded", "it was not as committed"))
        elif diff:
            path = run_dir / diff["file"]
            what = f"diff of the code, {path.name}"
            if not path.is_file():
                checks[path.name] = Check(what, "missing", f"{path} does not exist")
            else:
                left_out = ", ".join(diff.get("left_out", ()))
                note = f"without {left_out}" if left_out else f"git checkout {git['sha']} && git apply"
                checks[path.name] = compared(what, file_digest(path), diff["digest"], note)
    if len(checks) > 1:
        checks.pop("", None)
    return list(checks.values())


def recorded_files(run_dir: Path) -> dict[str, str]:
    """Digests of what the finished run left, empty where none were recorded."""
    path = run_dir / FILES_FILE
    return dict(read_json(path).get("files", {})) if path.is_file() else {}


def file_checks(run_dir: Path) -> list[Check]:
    """Each file of a finished run; those that are as they were are one check."""
    try:
        recorded = recorded_files(run_dir)
    except (SigjepaError, AttributeError) as error:
        return [Check(FILES_FILE, "changed", str(error))]
    if not recorded:
        return [Check("digests of its files", "not recorded", "the run is not finished, or of before it was recorded")]
    checks = []
    whole = 0
    for name, digest in recorded.items():
        path = run_dir / name
        if not path.is_file():
            checks.append(Check(name, "missing", f"{path} does not exist"))
        elif (found := compared(name, file_digest(path), digest)).state == "verified":
            whole += 1
        else:
            checks.append(found)
    return [Check("files of the run", "verified", FILES_FILE, whole), *checks] if whole else checks
