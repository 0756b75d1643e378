"""The published files: hard negatives that a person brings, and those that are given away."""
