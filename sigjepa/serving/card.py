"""The model card of a run's student, in the form of the Hugging Face Hub."""

import math

import numpy as np
from huggingface_hub import EvalResult, ModelCardData

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.paired_tests import package_interval
from sigjepa.reporting.run import Run
from sigjepa.reporting.tables import markdown_table
from sigjepa.teacher.pretrained import HUB_ID

SPLIT = "test"


def run_card(run: Run) -> str:
    """Return the card of a finished run: its data, split, figures on test with baselines, and how to load it."""
    figures, teacher = run.summary, run.config["teacher"]
    metrics = {name: metric for name, metric in run.metrics.items() if metric.tested and SPLIT in metric.splits}
    pool = f"{figures['test_functions']:,} functions of packages that are not in train"
    data = ModelCardData(
        base_model=teacher["path"] if HUB_ID.fullmatch(str(teacher["path"])) else None,
        library_name="sigjepa",
        pipeline_tag="feature-extraction",
        tags=["code-search", "joint-embedding-prediction", "sentence-transformers"],
        model_name=run.name,
        eval_results=[
            EvalResult("text-retrieval", "code", pool, name, run.figure(f"{SPLIT}/{name}"), metric_name=metric.label)
            for name, metric in metrics.items()
        ],
    )
    model = str(run.config["model"]["_target_"]).rpartition(".")[2]
    return f"""---
{data.to_yaml()}
---

# {run.name}

This student predicts the body of a Python function from its signature alone: `{model}` on the frozen teacher
`{teacher["name"]}`. It ranks bodies for a signature, to search code.

## Data

Corpus `{run.pool()}`, split by package: {figures["train_functions"]:,} functions to train on,
{figures["val_functions"]:,} to select the epoch by `{run.monitor}`, {figures["test_functions"]:,} to test once.
Seed {run.seed}, epoch {figures["best_epoch"]:.0f}, sigjepa {run.provenance["versions"].get("sigjepa", "unknown")}.

## Results

On test, {pool_of(run)}; ranks and MRR in percent. ± is half the 95 % interval over packages; of other seeds it says
nothing.

{results(run, metrics)}

## Use

```python
import sigjepa
from sigjepa.data.views import score

student = sigjepa.Student.from_pretrained("<this folder, or its id on the Hub>")
predictions = student.predict(["def read_csv(path, sep=','):"])
bodies = student.encode_bodies(["with open(path) as file:\\n    return [line.split(sep) for line in file]"])
print(score(predictions, bodies))
```
"""


def pool_of(run: Run) -> str:
    """Return among what test is ranked."""
    return f"in a {run.sampled_pools[SPLIT]}" if SPLIT in run.sampled_pools else "among all of its bodies"


def results(run: Run, metrics: dict[str, Metric]) -> str:
    """Return the table of the student and its baselines on test, each with its interval over packages."""
    packages = np.unique(run.pool_facts(SPLIT).packages, return_inverse=True)[1]

    def row(name: str, queries: QueryValues | None) -> list[str]:
        cells = []
        for key, metric in metrics.items():
            if queries is None or key not in queries.values:
                value = run.baselines.get(name, {}).get(f"{SPLIT}/{key}")
                cells.append("" if value is None else metric.format(value))
                continue
            mean, low, high = package_interval(queries.values[key], packages)
            cells.append(metric.format(mean, None if math.isnan(low) else (high - low) / 2))
        return cells

    rows = [[run.name, *row(run.name, run.queries(SPLIT))]]
    for name in run.baselines:
        rows.append([reference_label(name), *row(name, run.baseline_queries(name, SPLIT))])
    return markdown_table(["on test", *(metric.label for metric in metrics.values())], rows)
