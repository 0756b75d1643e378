"""The teacher: a frozen language model, and the shards of states it leaves for the student."""
