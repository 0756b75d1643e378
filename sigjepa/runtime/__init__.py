"""The runtime of a command: composition, errors, components, status, processes."""
