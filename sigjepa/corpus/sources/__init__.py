"""Where source code comes from: installed packages, folders, git repositories, JSON lines."""
