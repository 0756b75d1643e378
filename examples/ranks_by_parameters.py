"""Slice ranks by something of your own: `python examples/ranks_by_parameters.py multirun/<sweep> free_name_counts`.

Prints Rank@1 and Rank@10 of the runs, and of a baseline, by the number of parameters of the signature beside `self`.
The functions are those of the runs' corpus; a third argument names its functions.parquet where it lies elsewhere.
"""

import ast
import sys
from pathlib import Path

import pandas as pd

import sigjepa

COLUMNS = ["rank1", "rank10"]


def parameters(signature: str) -> int:
    """Return how many parameters a signature has beside self and cls."""
    arguments = ast.parse(f"{signature} pass").body[0].args  # type: ignore[attr-defined]
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return sum(each is not None and each.arg not in ("self", "cls") for each in named)


def main(folder: str, baseline: str, functions: str | None = None) -> None:
    """Print a row for each number of parameters: queries, then the runs and the baseline in percent."""
    runs = [run for run in sigjepa.read_runs(folder) if run.status == "finished"]
    corpus = Path(runs[0].provenance["data_dir"]) / "corpus" / runs[0].provenance["artifacts"]["corpus"]
    table = pd.read_parquet(functions or corpus / "functions.parquet", columns=["id", "signature"])
    counts = table.set_index("id")["signature"].map(parameters).clip(upper=5).rename("parameters")

    def by_parameters(queries: list[sigjepa.Run], values: str) -> pd.DataFrame:
        """Return the mean of each group over all queries of all runs."""
        read = [run.queries("test") if values == "runs" else run.baseline_queries(values, "test") for run in queries]
        frames = [pd.DataFrame({name: each.values[name] for name in COLUMNS}, index=each.ids) for each in read]
        return 100 * pd.concat(frames).groupby(counts).mean()

    first = [run.queries("test").ids for run in runs if run.seed == runs[0].seed]
    sizes = counts.loc[[identity for ids in first for identity in ids]].value_counts().sort_index()
    tables = {"runs": by_parameters(runs, "runs"), baseline: by_parameters(runs, baseline)}
    print(pd.concat({"queries": sizes.to_frame(""), **tables}, axis=1).round(2).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
