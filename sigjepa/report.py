"""Compare runs: `python -m sigjepa.report runs=multirun/<sweep>` prints their table and draws their curves."""

from pathlib import Path

from omegaconf import DictConfig

from sigjepa.artifacts import atomic_path
from sigjepa.entry import entry_point
from sigjepa.instantiate import plain
from sigjepa.reporting.plots import plot_curves
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.tables import results_table


def report(config: DictConfig) -> None:
    """Write `results.md` and `curves.png` of the runs below the folders that `runs` names."""
    resolved = plain(config)
    named = resolved["runs"]
    runs = find_runs([Path(folder) for folder in ([named] if isinstance(named, str) else named)])
    output = Path(resolved["output"])
    table = results_table(runs)
    with atomic_path(output / "results.md") as temporary:
        temporary.write_text(table + "\n", encoding="utf-8")
    plot_curves(runs, output / "curves.png", resolved["metric"])
    print(f"{table}\n{len(runs)} runs; written to {output}")


main = entry_point("report")(report)

if __name__ == "__main__":
    main()
