"""Executors: where the parts of a stage are built. The bytes that they write are the same."""
