"""Words of a command that make its student small, where what is checked does not depend on what it learns."""

SMALL_STUDENT = ("model.hidden_dim=32", "model.layers=1", "model.feedforward_dim=64")
