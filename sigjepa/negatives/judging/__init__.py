"""Judging: what a judge is asked, and its answers, kept."""
