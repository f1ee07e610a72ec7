"""Another part in the place of a real one, for as long as a block runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, part: object) -> Iterator[None]:
    """Have ``owner.name`` be ``part`` inside of the block."""
    real = owner.__dict__[name]  # as it stands there: a method is not bound, a static one wrapped
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, real)
