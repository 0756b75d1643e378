"""Artifacts: made once under the hash of their inputs, verified, and traced to what they were made from."""
