"""From shards and hard negatives to batches."""
