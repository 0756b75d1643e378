"""A package of somebody else's: sigjepa knows it by `allowed_targets` alone."""
