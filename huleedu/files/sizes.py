"""Sizes as people say them."""


def in_megabytes(count: int) -> str:
    """Return ``10 MB`` for 10,000,000 bytes; less than a tenth of that unit is told in bytes."""
    return f"{count / 1e6:g} MB" if count >= 100_000 else f"{count:,} bytes"
