"""The four reasons that the published Exp 2.1 failed for, as figures of the runs at hand."""

from collections.abc import Sequence
from statistics import mean

from sigjepa.reporting.runs import Run, by_experiment

EARLY_EPOCHS = 5


def _mean(runs: Sequence[Run], metric: str) -> float | None:
    """Mean over the seeds of the mean over the epochs that logged `metric`; None where no epoch did."""
    per_run = [values for run in runs if (values := [row[metric] for row in run.metrics if metric in row])]
    return mean(mean(values) for values in per_run) if per_run else None


def _summary_mean(runs: Sequence[Run], key: str) -> float | None:
    """Mean over the seeds of a figure of the summary; None where a run has none, as temperature without InfoNCE."""
    values = [value for run in runs if isinstance(value := run.summary.get(key), int | float)]
    return mean(values) if len(values) == len(runs) else None


def _mined_rows(run: Run) -> list[dict[str, float]]:
    """The epochs in which mined candidates stood in the softmax."""
    return [row for row in run.metrics if row.get("train/infonce_mined_weight", 0) > 0]


def _mined_mean(runs: Sequence[Run], metric: str) -> float | None:
    """As `_mean`, over the epochs in which mined candidates stood in the softmax."""
    per_run = [values for run in runs if (values := [row[metric] for row in _mined_rows(run) if metric in row])]
    return mean(mean(values) for values in per_run) if per_run else None


def _entry(runs: Sequence[Run], metric: str) -> float | None:
    """Mean over the seeds of a metric in the first epoch in which mined candidates stood in the softmax."""
    firsts = [rows[0][metric] for run in runs if (rows := _mined_rows(run)) and metric in rows[0]]
    return mean(firsts) if firsts else None


def _early(runs: Sequence[Run]) -> float | None:
    values = [value for run in runs for epoch, value in run.curve("val/rank10").items() if epoch < EARLY_EPOCHS]
    return mean(values) if values else None


def _number(value: float | None, pattern: str = "{:.2f}") -> str:
    return "—" if value is None else pattern.format(value)


def _percent(value: float | None) -> str:
    return _number(value if value is None else 100 * value, "{:.1f} %")


def failure_mode_tables(runs: Sequence[Run]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Header and rows by failure mode, one row an experiment, means over seeds; `—` where nothing was logged."""
    groups = by_experiment(runs)
    coverage, early, ambiguous, dilution = [], [], [], []
    for name, members in groups.items():
        mined = _mined_mean(members, "train/infonce_covered_anchors")
        coverage.append(
            [
                name,
                _percent(_summary_mean(members, "hard_negative_coverage")),
                _percent(mined),
                _number(_summary_mean(members, "hard_negatives_per_anchor"), "{:.1f}"),
                _number(_summary_mean(members, "covered_anchors_per_batch"), "{:.1f}"),
            ]
        )
        early.append(
            [
                name,
                _number(_summary_mean(members, "first_loss")),
                _percent(_early(members)),
                _number(_entry(members, "train/infonce_in_batch")),
                _number(_entry(members, "train/infonce_mined")),
                _number(_entry(members, "train/infonce_negative_cosim")),
                _percent(_entry(members, "train/infonce_mined_mass")),
            ]
        )
        pairs = [_mined_mean(members, f"train/infonce_pairs_score{score}") for score in (0, 1)]
        total = sum(value or 0.0 for value in pairs)
        share = (pairs[1] or 0.0) / total if total else None
        ambiguous.append([name, *(_number(value, "{:.1f}") for value in pairs), _percent(share)])
        unique = _mined_mean(members, "train/infonce_unique_negatives")
        each = _mined_mean(members, "train/infonce_negatives_per_covered_anchor")
        dilution.append([name, _number(unique, "{:.1f}"), _number(each, "{:.1f}"), _mined_candidates(members)])
    return {
        "Coverage asymmetry": (
            [
                "run",
                "train anchors with hard negatives",
                "of a batch's anchors",
                "hard negatives each",
                "covered anchors a batch, counted before training",
            ],
            coverage,
        ),
        "Too hard too early": (
            [
                "run",
                "loss of the first step",
                f"val/rank10, mean of the first {EARLY_EPOCHS} epochs",
                "in-batch loss when mined ones enter",
                "added by mined",
                "their cosine with the body",
                "softmax mass on mined",
            ],
            early,
        ),
        "Ambiguous score_c = 1": (
            ["run", "score_c = 0 pairs a step", "score_c = 1 pairs a step", "share of score_c = 1"],
            ambiguous,
        ),
        "Union dilution": (
            ["run", "unique rows appended a step", "own negatives of a covered anchor", "mined_candidates"],
            dilution,
        ),
    }


def _mined_candidates(runs: Sequence[Run]) -> str:
    chosen = {str(run.config.get("loss", {}).get("infonce", {}).get("mined_candidates", "none")) for run in runs}
    return " / ".join(sorted(chosen))


def health_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the collapse gauges on val, of the best checkpoint, means over seeds; targets beside."""
    rows = []
    for name, members in by_experiment(runs).items():
        rows.append(
            [
                name,
                *(
                    _number(_summary_mean(members, f"val/{key}"), pattern)
                    for key, pattern in (
                        ("prediction_std", "{:.3f}"),
                        ("target_std", "{:.3f}"),
                        ("effective_rank", "{:.1f}"),
                        ("target_effective_rank", "{:.1f}"),
                        ("pairwise_cosine", "{:.3f}"),
                        ("target_pairwise_cosine", "{:.3f}"),
                    )
                ),
                _number(_mean(members, "train/gradient_norm")),
                _number(_summary_mean(members, "temperature"), "{:.4f}"),
            ]
        )
    header = ["run", "std", "std of targets", "effective rank", "of targets", "pairwise cosine", "of targets"]
    return [*header, "gradient norm", "temperature"], rows
