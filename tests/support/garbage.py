"""Circles: what refers to itself, and stays until the collector comes by."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.eventually import eventually


class Held:
    """Something that a caller has in hand, a request say."""


@contextmanager
def no_collector() -> Iterator[None]:
    """What is in a circle stays there."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def let_go(held: weakref.ref[Held], seconds: float = 10.0) -> None:
    """Return once nothing refers to it: a thread lets go a moment after it has answered."""

    async def look() -> bool:
        return held() is None

    await eventually(look, bool, seconds)
