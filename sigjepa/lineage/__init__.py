"""From a checkpoint back to the source files: what each thing was made from, and whether that still holds."""
