"""The index of hard negatives: filtered from judged pairs, looked up and sampled in training."""
