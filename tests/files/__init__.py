"""Uploaded files: their text, their names and which essay each of them is."""
