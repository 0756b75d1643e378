"""The names of what a run writes into its directory; docs/reference/run_directory.md says what each holds."""

from pathlib import Path

JOB_FILE = "job.json"
SUMMARY_FILE = "summary.json"
PROVENANCE_FILE = "provenance.json"
FILES_FILE = "files.json"
CURVES_FILE = "metrics.csv"
METRICS_FILE = "metrics.json"
RANKS_FILE = "ranks.npz"
QUERIES_FILE = "queries.npz"
POOL_FILE = "pool.npz"
PREDICTIONS_FILE = "predictions.npz"
EXPLAINED_FILE = "explained.npz"
BASELINES_FILE = "baselines.json"
BASELINES_FOLDER = "baselines"
CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT = Path(CHECKPOINT_FOLDER) / "last.ckpt"
STUDENT_FOLDER = "student"
OUTPUTS = (
    *(JOB_FILE, SUMMARY_FILE, PROVENANCE_FILE, "provenance*.diff", FILES_FILE, "wandb_id"),
    *(CURVES_FILE, METRICS_FILE, RANKS_FILE, QUERIES_FILE, POOL_FILE, PREDICTIONS_FILE, EXPLAINED_FILE),
    *(BASELINES_FILE, BASELINES_FOLDER, CHECKPOINT_FOLDER, STUDENT_FOLDER, "negatives", "figures"),
)
"""What a run that begins anew in a directory removes there; `*` stands for anything."""
