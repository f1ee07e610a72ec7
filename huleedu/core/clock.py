"""Time as something handed in: the system's clock here, a simulated one in tests."""

from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """What time it is, and waiting for it to pass."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds have passed."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the event loop's monotonic seconds."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for so many seconds."""
        await anyio.sleep(seconds)


def to_text(moment: datetime) -> str:
    """Return ISO 8601 in UTC with microseconds and ``Z``: sorts as text as it does as time.

    Raises ``ValueError`` for a time without offset.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset from UTC")
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def from_text(text: str) -> datetime:
    """Return the moment that :func:`to_text` wrote.  Raises ``ValueError`` for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or to_text(moment) != text:
        raise ValueError(f"{text!r} is not of the form 2026-01-12T08:00:00.000000Z")
    return moment


def moment_of(text: str | None) -> datetime | None:
    """Return the moment of a column that may be NULL.  Raises as :func:`from_text`."""
    return None if text is None else from_text(text)


def text_of(moment: datetime | None) -> str | None:
    """Return a moment as the value of a column that may be NULL.  Raises as :func:`to_text`."""
    return None if moment is None else to_text(moment)
