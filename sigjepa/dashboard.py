"""Compare a sweep's runs in W&B: `python -m sigjepa.dashboard runs=multirun/<sweep>` creates a workspace for them."""

from dataclasses import replace

from omegaconf import DictConfig

from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import plain

PROJECT = "sigjepa"


def dashboard(config: DictConfig) -> None:
    """Create the workspace of the runs below the folders that `runs` names, or of `project` and `group`."""
    from sigjepa.reporting.runs import find_runs, run_folders
    from sigjepa.reporting.workspace import Destination, logged_to, save_workspace, sweep_workspace, workspace_json

    resolved = plain(config)
    logged = logged_to(find_runs(run_folders(resolved["runs"]))) if resolved["runs"] else Destination(None, PROJECT)
    workspace = sweep_workspace(
        replace(
            logged,
            entity=resolved["entity"] or logged.entity,
            project=resolved["project"] or logged.project,
            groups=(resolved["group"],) if resolved["group"] else logged.groups,
        )
    )
    print(workspace_json(workspace) if resolved["dry_run"] else save_workspace(workspace))


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("dashboard", lambda: hydra_job("dashboard", dashboard, ["torch"]), flags={"--dry-run": "dry_run=true"})


if __name__ == "__main__":
    main()
