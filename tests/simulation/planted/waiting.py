"""Planted bugs in what waits, for how long, and for whom."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from huleedu.core.clock import to_text
from huleedu.store import housekeeping
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.kafka.window import Window
from tests.simulation.replaced import replaced
from tests.simulation.world import Build


class HandledForgottenEarly(Build):
    """What was handled is forgotten by the clock alone, whatever may still come again."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def by_the_clock(
            connection: sqlite3.Connection,
            now: datetime,
            keep: timedelta,
            _since: datetime | None = None,
        ) -> int:
            oldest = to_text(now - keep)
            cursor = connection.execute("DELETE FROM handled WHERE handled_at < ?", (oldest,))
            return cursor.rowcount

        with super().patched(), replaced(housekeeping, "purge_handled", by_the_clock):
            yield


class OffsetPastUnhandled(Build):
    """A checker's offset is committed behind all that was read, handled or not."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def settled(self: Window) -> SettledOffsets:
            return SettledOffsets(self._read_to)

        with super().patched(), replaced(Window, "settled", settled):
            yield
