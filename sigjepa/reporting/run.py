"""A run directory and what its files hold, read when it is asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import BASELINES
from sigjepa.evaluation.first_bodies import FirstBodies
from sigjepa.evaluation.metrics import Metric, QueryValues
from sigjepa.evaluation.pools import PoolFacts
from sigjepa.evaluation.rank_files import read_arrays, read_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.run_files import (
    as_mapping,
    read_first_bodies,
    read_pool_facts,
    read_queries,
    read_rows,
    verified,
    was_written,
)
from sigjepa.store.files import read_json
from sigjepa.training.run_file_names import (
    BASELINES_FILE,
    CURVES_FILE,
    EXPLAINED_FILE,
    JOB_FILE,
    METRICS_FILE,
    POOL_FILE,
    PREDICTIONS_FILE,
    PROVENANCE_FILE,
    QUERIES_FILE,
    RANKS_FILE,
)
from sigjepa.training.run_status import FINISHED

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Run:
    """A run directory and what its files hold.

    status: `finished`, `running`, `interrupted` or `failed` as its `summary.json` says, `missing` without one,
    `unreadable` with a damaged file, or `not started` for a job of a sweep that has no folder yet. reason: why it is
    not finished. label: what tables call its experiment, where that is not the name. Every file is read when it is
    asked for and raises SigjepaError naming it when it can't be read.
    """

    folder: Path
    summary: dict[str, Any]
    status: str
    reason: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """The name that the run was given."""
        return " ".join(str(self.summary.get("experiment", self.folder.name)).split())

    @property
    def experiment(self) -> str:
        """The name that tables give the run's experiment, told apart from others of that name by what differs.

        One that is called like a baseline, which stands in the same tables and tests, is marked as trained.
        """
        name = self.label or self.name
        is_taken = any(name in (baseline, method.label) for baseline, method in BASELINES.items())
        return f"{name} (trained)" if is_taken else name

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that make the run's experiment, see `job.experiment_settings`.

        Empty for a run that has not begun; raises SigjepaError where a finished one has none.
        """
        path = verified(self.folder, JOB_FILE)
        identity = as_mapping(read_json(path), path).get("experiment") if path.exists() else {}
        if self.status == FINISHED and not identity:  # runs of one name would pass for seeds of one experiment
            raise SigjepaError(
                f"{path} does not say which experiment the run is of; leave the run out, or train it again."
            )
        return as_mapping(identity, path)

    @property
    def seed(self) -> int | None:
        """The student's seed, where it is known."""
        return self.summary.get("seed")

    @property
    def fold(self) -> int | None:
        """The fold of a cross-validation that is its test split; None without one."""
        return self.summary.get("fold")

    def figure(self, key: str) -> float:
        """Return a figure of `summary.json`; raises SigjepaError naming the file and the key when it is not there."""
        value = self.summary.get(key)
        if not isinstance(value, int | float):
            raise SigjepaError(
                f"{self.folder / 'summary.json'} has no figure '{key}' (found: {value}). Leave the run out, or train "
                "it again."
            )
        return float(value)

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Metrics of each baseline on the run's pools."""
        return read_json(verified(self.folder, BASELINES_FILE))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The code, config and artifacts from which the run came."""
        path = verified(self.folder, PROVENANCE_FILE)
        provenance = read_json(path)
        kinds = {"config": dict, "artifacts": dict, "git": dict, "data_dir": str}
        if not isinstance(provenance, dict) or not all(
            isinstance(provenance.get(key), kind) for key, kind in kinds.items()
        ):
            raise SigjepaError(
                f"{path} is not the provenance of a run (its {', '.join(kinds)}); leave the run out, or train it again."
            )
        return provenance

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return self.provenance["config"]

    @property
    def sampled_pools(self) -> dict[str, str]:
        """What is said of each pool that is a sample of its split, by split."""
        artifacts = self.provenance["artifacts"]
        return {split: str(artifacts[key]) for split in HELD_OUT if (key := f"{split}_pool") in artifacts}

    def pool(self) -> str:
        """Return the identity of the held-out pools: the hash of the corpus and its splits, and what was sampled."""
        if "corpus_hash" not in self.provenance["artifacts"]:
            path = self.folder / PROVENANCE_FILE
            raise SigjepaError(f"{path} names no corpus_hash; leave the run out, or train it again.")
        corpus = str(self.provenance["artifacts"]["corpus_hash"])
        return ", ".join([corpus, *(f"{split} {text}" for split, text in self.sampled_pools.items())])

    @cached_property
    def registry(self) -> tuple[str, dict[str, Metric]]:
        """The metric that the run was selected by, and the description of each of its metrics, by name."""
        path = verified(self.folder, METRICS_FILE)
        record = read_json(path)
        try:
            return str(record["monitor"]), {name: Metric(**entry) for name, entry in record["metrics"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise SigjepaError(
                f"{path} does not say what the run's metrics are ({error}); leave the run out, or train it again."
            ) from None

    @property
    def monitor(self) -> str:
        """The key of the metric that the run was selected by, such as `val/rank10`."""
        return self.registry[0]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Descriptions of the run's metrics, by name."""
        return self.registry[1]

    def measures(self, key: str, metric: Metric) -> bool:
        """Return whether what the run calls by a key such as `val/rank10` is this metric."""
        return self.metrics.get(key.partition("/")[2]) == metric

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """Rows of `metrics.csv`, absent values left out."""
        return read_rows(verified(self.folder, CURVES_FILE))

    def curve(self, metric: str) -> dict[int, float]:
        """Return a metric by epoch; raises SigjepaError naming the file when no epoch has it."""
        curve = {int(row["epoch"]): row[metric] for row in self.rows if metric in row}
        if not curve:
            raise SigjepaError(
                f"{self.folder / 'metrics.csv'} has no value of '{metric}': no epoch was validated, or the name is "
                f"wrong. Leave the run out, or choose metric= among its columns."
            )
        return curve

    def check_began(self) -> None:
        """Raise SigjepaError when its best checkpoint never saw what the run was to learn from.

        That is what its summary says that it ended before, or mined candidates, of which none stood in the softmax.
        """
        if late := self.summary.get("never_began"):
            raise SigjepaError(f"never began: {late}")
        infonce = (self.config.get("loss") or {}).get("infonce") or {}
        if not self.config.get("negatives") or infonce.get("mined_candidates") in (None, "none"):
            return
        best = self.figure("best_epoch")
        used = (row for row in self.rows if row["epoch"] <= best and row.get("train/infonce_mined_weight", 0) > 0)
        if not any(row.get("train/infonce_unique_negatives", 0) > 0 for row in used):
            raise SigjepaError(
                f"never began: no mined candidate stood in the softmax up to the best epoch, {best:.0f}; train longer, "
                "or begin with them earlier"
            )

    def ranks(self, split: str) -> tuple[np.ndarray, Ranks]:
        """Return ids `[N]` and ranks of the queries of a split, for the best checkpoint."""
        return read_ranks(verified(self.folder, RANKS_FILE), split)

    def queries(self, split: str) -> QueryValues:
        """Return the values of every query of a split, of the best checkpoint, by metric."""
        return self._queries(QUERIES_FILE, split)

    def baseline_queries(self, name: str, split: str) -> QueryValues:
        """Return the values of every query of a split, of a baseline on the same pool, by metric."""
        return self._queries(f"baselines/{name}.npz", split)

    def _queries(self, file: str, split: str) -> QueryValues:
        names = [name for name, metric in self.metrics.items() if metric.per_query and split in metric.splits]
        return read_queries(verified(self.folder, file), split, names)

    def pool_facts(self, split: str) -> PoolFacts:
        """Return the package of each query of a split, and whether its signature stands in train."""
        return read_pool_facts(verified(self.folder, POOL_FILE), split)

    @property
    def scores_by_cosine(self) -> bool:
        """True where ranks follow from one predicted vector a query: a student may sum several views instead."""
        return was_written(self.folder, PREDICTIONS_FILE)

    @property
    def is_explained(self) -> bool:
        """True where the run has kept what it ranks first and why."""
        return not self.scores_by_cosine and was_written(self.folder, EXPLAINED_FILE)

    def first_bodies(self, split: str) -> tuple[np.ndarray, FirstBodies]:
        """Return ids `[N]` and what is ranked first for each query of a split, of a student of several views."""
        return read_first_bodies(verified(self.folder, EXPLAINED_FILE), split)

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids `[N]` and the best checkpoint's predictions `[N, D]` of a split.

        Raises SigjepaError where ranks do not follow from them.
        """
        if not self.scores_by_cosine:
            raise SigjepaError(
                f"{self.folder} has no predicted vectors: the score of its student sums several views, from which the "
                "ranks in ranks.npz come. What is measured in the teacher's space is not defined for it."
            )
        ids, pooled = read_arrays(verified(self.folder, PREDICTIONS_FILE), f"{split}_ids", f"{split}_pooled")
        return ids, pooled
