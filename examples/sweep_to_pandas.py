"""Read a sweep into pandas: `python examples/sweep_to_pandas.py multirun/<sweep>`.

Prints the mean and the spread over seeds of each experiment, and the differences that the report would test.
"""

import sys

import pandas as pd

import sigjepa


def main(folder: str) -> None:
    """Print two tables of the finished runs below `folder`: figures by experiment, curves by epoch."""
    runs = [run for run in sigjepa.read_runs(folder) if run.status == "finished"]
    figures = pd.DataFrame([run.summary for run in runs])
    print(figures.groupby("experiment")[["val/rank10", "test/rank10"]].agg(["mean", "std", "count"]))

    curves = pd.concat(pd.DataFrame(run.rows).assign(experiment=run.experiment, seed=run.seed) for run in runs)
    print(curves.pivot_table(index="epoch", columns="experiment", values="val/rank10"))

    for sentence in sigjepa.conclusions(sigjepa.compare(runs, baseline=runs[0].experiment)):
        print(sentence)


if __name__ == "__main__":
    main(sys.argv[1])
