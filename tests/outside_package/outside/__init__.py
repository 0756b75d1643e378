"""Components of a package that sigjepa knows nothing about, one of each kind."""
