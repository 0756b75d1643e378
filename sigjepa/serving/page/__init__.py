"""The page and the JSON API of a search."""
