"""Read what a student gets wrong: `python examples/read_misses.py outputs/flagship/<time> --queries 20`.

Of each query: its signature and body, the body that is ranked first, and what each view adds to the scores of both.
Without `--only` they are those of test whose body is not ranked first; `--only student` are those that the student
ranks first and `--baseline` does not, `--only baseline` the reverse.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np

import sigjepa
from sigjepa.reporting.evidence import open_evidence
from sigjepa.reporting.run import Run


def rows_of_interest(run: Run, only: str | None, baseline: str) -> np.ndarray:
    """Return the rows of test that are asked for. A body that is first beside an equal one is no miss."""
    missed = run.ranks("test")[1].optimistic > 1
    if only is None:
        return np.flatnonzero(missed)
    baseline_missed = run.baseline_queries(baseline, "test").values["rank1"] == 0
    return np.flatnonzero(~missed & baseline_missed if only == "student" else missed & ~baseline_missed)


def shares_text(shares: dict[str, np.ndarray], row: int) -> str:
    """Return the score of one body, and what each view adds to it."""
    total = sum(float(share[row]) for share in shares.values())
    return f"score {total:.1f}: " + " · ".join(f"{name} {share[row]:+.1f}" for name, share in shares.items())


def main() -> None:
    """Print a sample of queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("--only", choices=("student", "baseline"))
    parser.add_argument("--baseline", default="bm25")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--lines", type=int, default=8, help="of each body")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    run = sigjepa.read_run(options.run)
    ids, ranks = run.ranks("test")
    corpus = open_evidence(run).corpus
    names = ("repository", "qualname", "signature", "body")
    columns = {name: corpus.column(name) for name in names}
    functions = [{name: columns[name][row] for name in names} for row in ids]
    student = sigjepa.Student.from_pretrained(options.run)
    bodies = student.encode_bodies([function["body"] for function in functions])

    found = rows_of_interest(run, options.only, options.baseline)
    sample = np.random.default_rng(options.seed).permutation(found)[: options.queries]
    print(f"{len(found)} of {len(ids)} queries of test; {len(sample)} of them, drawn with seed {options.seed}:")
    predictions = student.predict([functions[row]["signature"] for row in sample])
    shares = {name: view.product(bodies[name]).numpy() for name, view in predictions.items()}
    for number, row in enumerate(sample):
        own = {name: product[number] for name, product in shares.items()}
        order = np.argsort(-sum(own.values()), kind="stable")
        first, second = (int(each) for each in order[:2])
        other = second if first == row else first
        query = functions[row]
        print(f"\n== {number + 1}  {query['repository']}  {query['qualname']}  rank {ranks.optimistic[row]}")
        print(query["signature"])
        for place, title in ((row, "own"), (other, "second" if other == second else "first")):
            shown = functions[place]
            print(f"-- {title}: {shown['qualname']}  {shares_text(own, place)}")
            if place != row:
                print(f"   its signature: {shown['signature']}")
            print(textwrap.indent("\n".join(shown["body"].splitlines()[: options.lines]), "    "))


if __name__ == "__main__":
    main()
