"""From source code to `functions.parquet`: sources, extraction, duplicates, splits, the store."""
