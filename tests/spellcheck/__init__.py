"""The spell-checker, checked."""
