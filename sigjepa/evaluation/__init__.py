"""Ranks in the held-out pool, and the baselines every student stands beside."""
