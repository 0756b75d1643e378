"""Compare a sweep's runs in W&B: `python -m sigjepa.dashboard runs=multirun/<sweep>` creates a workspace for them."""

import sys

from omegaconf import DictConfig

from sigjepa.reporting.runs import find_runs, run_folders
from sigjepa.reporting.workspace import Destination, logged_to, save_workspace, sweep_workspace, workspace_json
from sigjepa.runtime.command import entry_point
from sigjepa.runtime.instantiate import plain

PROJECT = "sigjepa"


def dashboard(config: DictConfig) -> None:
    """Create the workspace of the runs below the folders that `runs` names, or of `project` and `group`."""
    resolved = plain(config)
    found = logged_to(find_runs(run_folders(resolved["runs"]))) if resolved["runs"] else Destination(None, PROJECT)
    workspace = sweep_workspace(
        Destination(
            resolved["entity"] or found.entity,
            resolved["project"] or found.project,
            (resolved["group"],) if resolved["group"] else found.groups,
        )
    )
    print(workspace_json(workspace) if resolved["dry_run"] else save_workspace(workspace))


command = entry_point("dashboard")(dashboard)


def main() -> None:
    """Take `--dry-run` as `dry_run=true`: Hydra knows flags of its own only."""
    sys.argv[1:] = ["dry_run=true" if argument == "--dry-run" else argument for argument in sys.argv[1:]]
    command()


if __name__ == "__main__":
    main()
