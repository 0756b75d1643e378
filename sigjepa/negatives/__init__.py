"""Hard negatives: mined by exact kNN over body embeddings, judged, filtered and indexed."""
