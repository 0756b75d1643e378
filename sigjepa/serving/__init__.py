"""Students put to use: a folder that loads anywhere, predictions, and what other libraries open."""
