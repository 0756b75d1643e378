"""From a checkpoint or a run directory back to the source files: config, code, files and artifacts, each compared."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from sigjepa.corpus.source_check import source_files
from sigjepa.corpus.source_files import SOURCES_FILE
from sigjepa.errors import SigjepaError
from sigjepa.store.files import file_digest, read_json
from sigjepa.store.lineage import Check, Link, Walk, compared, compared_file
from sigjepa.store.manifest import MANIFEST_FILE, Reference, content_key
from sigjepa.training.provenance import code_of
from sigjepa.training.run_file_names import FILES_FILE, PROVENANCE_FILE

INSPECTORS = {SOURCES_FILE: source_files}
MAX_LEVELS = 4
"""So many folders above a file are looked at for the run or artifact that it belongs to."""


def lineage(path: Path, data_dir: Path | None = None) -> Link:
    """Return what lies at `path`, and all that it was built from, checked.

    data_dir: where the artifacts are, when they are not where they were. Raises SigjepaError for a path that does not
    exist, or is nothing that this package wrote.
    """
    if not path.exists():
        raise SigjepaError(f"{path} does not exist.")
    if data_dir is not None and not data_dir.is_dir():
        raise SigjepaError(f"data_dir={data_dir} is no folder.")
    path = path.resolve()
    if path.is_file() and path.suffix == ".ckpt":
        return checkpoint(path, data_dir)
    folders = [path, *path.parents] if path.is_dir() else list(path.parents)
    for folder in folders[:MAX_LEVELS]:
        if is_run(folder):
            return run(folder, data_dir)
        if (folder / MANIFEST_FILE).is_file():
            return Walk(data_dir or folder.parent.parent, INSPECTORS).artifact(folder)
    raise SigjepaError(
        f"{path} is nothing that sigjepa wrote: neither a checkpoint (.ckpt), nor a run directory (with "
        f"{PROVENANCE_FILE}), nor an artifact of a data directory (with {MANIFEST_FILE}), nor a file in one."
    )


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory; raises SigjepaError for one whose provenance is none."""
    path = folder / PROVENANCE_FILE
    if not path.is_file():
        return False
    facts = read_json(path)
    if not isinstance(facts, dict) or not {"config", "data_dir"} <= facts.keys():
        raise SigjepaError(f"{path} is not the provenance of a run: it has no config or no data_dir.")
    return True


def checkpoint(path: Path, data_dir: Path | None) -> Link:
    """Return a checkpoint, and the run that it belongs to: the folder above `checkpoints/`."""
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
        link.checks.append(Check("digest", "not recorded", "the run is not finished"))
    if config is not None:
        facts = read_json(run_dir / PROVENANCE_FILE)
        link.origin = {"epoch": content.get("epoch"), "step": content.get("global_step")}
        link.checks.append(compared("config inside", content_key(config), facts.get("config_hash")))
    link.upstream.append(run(run_dir, data_dir))
    return link


def run(run_dir: Path, data_dir: Path | None) -> Link:
    """Return a run and the artifacts that it was trained on, found below `data_dir` or where they were then."""
    link = Link("run", str(run_dir))
    facts = read_json(run_dir / PROVENANCE_FILE)
    link.origin = {key: facts[key] for key in ("time", "command", "git", "versions", "environment") if key in facts}
    link.checks.append(compared("config", content_key(facts["config"]), facts.get("config_hash")))
    starts = facts.get("started") or []
    codes = list(dict.fromkeys(code_of(start.get("git") or {}) for start in starts))
    link.origin["starts"] = len(starts)
    link.origin["started"] = [{"time": start.get("time"), "git": start.get("git")} for start in starts]
    if len(codes) > 1:
        link.origin["note"] = f"continued by other code: {len(codes)} states of it over {len(starts)} starts"
    link.checks += diff_checks(run_dir, [facts.get("git") or {}, *(start.get("git") or {} for start in starts)])
    link.checks += file_checks(run_dir)
    recorded: Mapping[str, Any] = facts.get("upstream") or {}
    references = {name: Reference(**reference) for name, reference in recorded.items()}
    # the last first: it leads to all the others, in the order in which they were built
    ordered = dict(reversed(references.items()))
    links, checks = Walk(data_dir or Path(facts["data_dir"]), INSPECTORS).upstream(ordered)
    link.upstream += links
    link.checks += checks
    return link


def diff_checks(run_dir: Path, states: list[Mapping[str, Any]]) -> list[Check]:
    """Return checks of the diffs of code that was not as committed, each once."""
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
    """Return the digests of what the finished run left, empty where none were recorded."""
    path = run_dir / FILES_FILE
    return dict(read_json(path).get("files", {})) if path.is_file() else {}


def file_checks(run_dir: Path) -> list[Check]:
    """Return a check of each file of a finished run; those that are as they were are one check."""
    try:
        recorded = recorded_files(run_dir)
    except (SigjepaError, AttributeError) as error:
        return [Check(FILES_FILE, "changed", str(error))]
    if not recorded:
        return [Check("digests of its files", "not recorded", "the run is not finished")]
    checks = []
    whole = 0
    for name, digest in recorded.items():
        check = compared_file(run_dir / name, digest)
        if check.state == "verified":
            whole += 1
        else:
            checks.append(check)
    return [Check("files of the run", "verified", FILES_FILE, whole), *checks] if whole else checks
