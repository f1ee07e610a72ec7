"""Every SQLite connection that code under test opens, kept where a test can ask it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FULL = 2  # of PRAGMA synchronous: a commit returns after its fsync


class Connections:
    """Opened since it was made, by the store's name; some may be closed already."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, sqlite3.Connection]] = []

    def synchronous(self) -> Sequence[tuple[str, int]]:
        """Return store → ``PRAGMA synchronous`` for every open connection that may write."""
        return [
            (store, int(connection.execute("PRAGMA synchronous").fetchone()[0]))
            for store, connection in self.opened
            if _may_write(connection)
        ]


@contextmanager
def watched_connections() -> Iterator[Connections]:
    """Watch what is opened while the block runs."""
    connections, connect = Connections(), sqlite3.connect

    def watched(database: str, *args: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, *args, **more)
        connections.opened.append((Path(database.partition("?")[0]).name, connection))
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", watched)
        yield connections


def _may_write(connection: sqlite3.Connection) -> bool:
    try:
        (query_only,) = connection.execute("PRAGMA query_only").fetchone()
    except sqlite3.ProgrammingError:  # closed
        return False
    return not query_only
