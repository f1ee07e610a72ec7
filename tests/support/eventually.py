"""Waiting for a condition, with a limit, instead of sleeping and hoping."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def eventually(
    probe: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 20.0
) -> T:
    """Return what ``probe`` answers as soon as ``holds`` is true of it.

    Raises ``AssertionError`` that tells what was seen last when it does not come true in time.
    """
    deadline = anyio.current_time() + seconds
    while True:
        seen = await probe()
        if holds(seen):
            return seen
        if anyio.current_time() > deadline:
            raise AssertionError(f"after {seconds:g} s still: {seen!r}")
        await anyio.sleep(0.02)
