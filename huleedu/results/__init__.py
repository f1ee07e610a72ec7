"""The query side."""
