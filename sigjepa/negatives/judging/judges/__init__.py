"""Judges score how related two functions are, 0 (unrelated) to 3 (equivalent)."""
