"""Sources of code: installed packages, folders, git repositories, JSON lines."""
