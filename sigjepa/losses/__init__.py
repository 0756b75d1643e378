"""Loss terms: pure equations, and the modules that hold their state."""
