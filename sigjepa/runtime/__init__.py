"""What makes a command a command: composition, errors, components, status, processes."""
