"""What a relay with a memory outside the store must know: which outbox this is, who relays it, and
what a broker has acknowledged.

The name of an outbox is random and made with the store, so that the position which a broker keeps
for it is never taken for another's.

A file that is put back from a backup, or copied, gives row ids that another file has given to other
rows.  So that the rows can be told apart, each opening of the file is noted: the first id that it
can give, and a random token.  Two files with a common opening have the same rows up to the first
opening after it that only one of them knows.
"""

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from sqlite_utils import Database as SchemaDatabase

from huleedu.store.migrations import Migrations
from huleedu.store.outbox import last_given_id

outbox_identity_migrations = Migrations("outbox_identity")

OPENINGS_MAX = 100
"""Kept; all of them fit into the 4,096 bytes that a broker keeps beside a position."""
_RANDOM_ID = "lower(hex(randomblob(16)))"
_RANDOM_TAG = "lower(hex(randomblob(6)))"


class Opening(NamedTuple):
    """The rows from ``first_id`` on, up to the next opening, were added to one file."""

    first_id: int
    token: str


@outbox_identity_migrations()
def create_outbox_identity(database: SchemaDatabase) -> None:
    """One row: the id of this outbox, 32 hexadecimal digits."""
    database.conn.execute("""
        CREATE TABLE outbox_identity (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            outbox_id TEXT NOT NULL
        ) STRICT""")
    database.conn.execute(f"INSERT INTO outbox_identity VALUES (1, {_RANDOM_ID})")


@outbox_identity_migrations()
def create_outbox_lease(database: SchemaDatabase) -> None:
    """One row: who relays this outbox (nobody: empty), and a count that grows while it lives."""
    database.conn.execute("""
        CREATE TABLE outbox_lease (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            holder TEXT NOT NULL,
            beats INTEGER NOT NULL,
            holds_lock INTEGER NOT NULL
        ) STRICT""")
    database.conn.execute("INSERT INTO outbox_lease VALUES (1, '', 0, 0)")


@outbox_identity_migrations()
def create_outbox_publication(database: SchemaDatabase) -> None:
    """What a broker said (the last row acknowledged, 0: none), and the topics written to so far."""
    database.conn.execute(
        "ALTER TABLE outbox_identity ADD COLUMN acknowledged_id INTEGER NOT NULL DEFAULT 0"
    )
    database.conn.execute(
        "ALTER TABLE outbox_identity ADD COLUMN last_commits INTEGER NOT NULL DEFAULT 0"
    )
    database.conn.execute(
        "CREATE TABLE outbox_topics (topic TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"
    )


@outbox_identity_migrations()
def create_outbox_opening(database: SchemaDatabase) -> None:
    """One row for each opening of the file after which rows were added.

    What was added by older programs counts as one opening, the same in all copies of the file.
    """
    database.conn.execute("""
        CREATE TABLE outbox_opening (
            first_id INTEGER PRIMARY KEY,
            token TEXT NOT NULL
        ) STRICT""")
    database.conn.execute(
        "INSERT INTO outbox_opening SELECT 1, substr(outbox_id, 1, 12) FROM outbox_identity"
    )


@outbox_identity_migrations.at_opening
def begin_opening(connection: sqlite3.Connection) -> None:
    """Note that rows from now on may not be in other copies of the file."""
    connection.execute(
        f"INSERT OR REPLACE INTO outbox_opening VALUES (?, {_RANDOM_TAG})",
        (last_given_id(connection) + 1,),
    )
    connection.execute(
        "DELETE FROM outbox_opening WHERE first_id NOT IN"
        " (SELECT first_id FROM outbox_opening ORDER BY first_id DESC LIMIT ?)",
        (OPENINGS_MAX,),
    )


def read_openings(connection: sqlite3.Connection) -> tuple[Opening, ...]:
    """Return the latest openings, at most ``OPENINGS_MAX``, in the order of their rows."""
    rows = connection.execute("SELECT first_id, token FROM outbox_opening ORDER BY first_id")
    return tuple(Opening(first_id, token) for first_id, token in rows)


def read_outbox_id(connection: sqlite3.Connection) -> str:
    """Return the id of this outbox."""
    (outbox_id,) = connection.execute("SELECT outbox_id FROM outbox_identity").fetchone()
    return str(outbox_id)


def renew(connection: sqlite3.Connection) -> str:
    """Give the outbox a new id and return it: the one that it had is another file's as well.

    Both give the same row ids to different rows, and under the common id the position that the
    broker keeps would say that rows are sent which never were.
    """
    connection.execute(
        f"UPDATE outbox_identity SET outbox_id = {_RANDOM_ID},"
        " acknowledged_id = 0, last_commits = 0"
    )
    return read_outbox_id(connection)


def acknowledged_id(connection: sqlite3.Connection) -> int:
    """Return the id of the last row of which a broker said that it is committed; 0: of none."""
    (row_id,) = connection.execute("SELECT acknowledged_id FROM outbox_identity").fetchone()
    return int(row_id)


def note_acknowledged(connection: sqlite3.Connection, row_id: int) -> None:
    """Note that a broker has committed the rows up to this one."""
    connection.execute("UPDATE outbox_identity SET acknowledged_id = ?", (row_id,))


def topics_written(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the topics that rows of this outbox may have been sent to."""
    return frozenset(topic for (topic,) in connection.execute("SELECT topic FROM outbox_topics"))


def note_topics(connection: sqlite3.Connection, topics: Collection[str]) -> None:
    """Note topics before anything is sent to them."""
    rows = [(topic,) for topic in topics]
    connection.executemany("INSERT OR IGNORE INTO outbox_topics VALUES (?)", rows)


def last_commits(connection: sqlite3.Connection) -> bool:
    """Return whether the last transaction of which a broker told the ending is one that commits."""
    (commits,) = connection.execute("SELECT last_commits FROM outbox_identity").fetchone()
    return bool(commits)


def note_ending(connection: sqlite3.Connection, commits: bool) -> None:
    """Note how the last transaction ends, before the broker is made to forget it."""
    connection.execute(
        "UPDATE outbox_identity SET last_commits = ? WHERE last_commits <> ?", (commits, commits)
    )
