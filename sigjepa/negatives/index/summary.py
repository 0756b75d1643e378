"""The summary of a hard-negative index: the published summary table, and what is known beyond it."""

from collections.abc import Mapping
from typing import Any

from sigjepa.negatives.index.pair_filter import PairFilter

Figures = Mapping[str, int | float]


def published_rows(statistics: Figures, metadata: Mapping[str, Any], file_bytes: int | None) -> dict[str, str]:
    """Return value by statistic in the order and wording of the published table; file_bytes: of an exported file."""
    pairs, anchors = int(statistics["pairs"]), int(statistics["anchors"])
    return {
        "Source": f"`{metadata.get('source', 'unknown')}`",
        "Model": str(metadata.get("model") or "unknown"),
        "Filter": _filter(metadata),
        "Total pairs": f"{pairs:,}",
        "Unique anchors": f"{anchors:,} ({statistics['coverage']:.0%} of train split)",
        "score_c=0 pairs": _scored(statistics["score_c_0"], metadata),
        "score_c=1 pairs": _scored(statistics["score_c_1"], metadata),
        # The published table cuts after the first decimal: 85,125 pairs of 17,540 anchors are 4.853, printed as 4.8.
        "Avg hard negs per anchor": f"{(10 * pairs // anchors if anchors else 0) / 10:.1f}",
        "File": "`hard_negatives.json`" + ("" if file_bytes is None else f" ({file_bytes / 1e6:.1f} MB)"),
    }


def further_rows(statistics: Figures, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what the published table does not say: the judge, false negatives, and what an import left out."""
    rows = {
        "Judge": str(metadata.get("judge") or "unknown"),
        "score_c≥2 pairs, masked as related": f"{statistics['related_pairs']:,}",
    }
    if bounds := _further_bounds(metadata.get("filter") or {}):
        rows["Further bounds"] = bounds
    if bounds := "; then ".join(filter(None, map(_further_bounds, metadata.get("filtered_before", ())))):
        rows["Further bounds, before it was imported"] = bounds
    if metadata.get("scores_known") is False:
        rows["Scores"] = "not in the file; every pair counts as score_c=1 in training"
    if unscored := metadata.get("unscored_pairs"):
        rows["Pairs without a score, left out"] = f"{unscored:,}"
    if unusable := metadata.get("parse_errors"):
        share = f"{unusable:,} of {metadata['questions']:,} ({unusable / metadata['questions']:.1%})"
        rows["Pairs that the judge gave no usable answer for"] = f"{share}: {metadata['unusable']}"
    if outside := metadata.get("outside_pairs"):
        rows["Pairs outside of the train split, left out"] = f"{outside:,}"
    return rows


def markdown_table(header: str, rows: Mapping[str, str]) -> str:
    """Return two columns as Markdown, `header` over the first."""
    cells = ((name, value.replace("|", "\\|")) for name, value in rows.items())
    return "\n".join([f"| {header} | Value |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells)])


def _filter(metadata: Mapping[str, Any]) -> str:
    limits, conditions = metadata.get("filter") or {}, []
    if limits.get("min_cosim", -1.0) > -1.0:
        conditions.append(f"cosim ≥ {limits['min_cosim']:.2f}")
    if limits.get("max_score_c") is not None and metadata.get("scores_known") is not False:
        conditions.append(f"score_c ≤ {limits['max_score_c']}")
    return ", ".join([*conditions, "both IDs in training corpus"])


def _further_bounds(limits: Mapping[str, Any]) -> str:
    """Return the bounds of the filter that the published one does not have, where they are not at their defaults."""
    defaults = PairFilter().settings()
    return ", ".join(
        f"{name}={value}"
        for name, value in limits.items()
        if name in defaults and name not in ("min_cosim", "max_score_c") and value != defaults[name]
    )


def _scored(pairs: int | float, metadata: Mapping[str, Any]) -> str:
    return "unknown" if metadata.get("scores_known") is False else f"{pairs:,}"
