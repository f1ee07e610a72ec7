"""What a relay with a memory outside the store must know: which outbox this is, who relays it, and
what a broker has acknowledged.

The name of an outbox is random and made with the store, so that the position which a broker keeps
for it is never taken for another's.
"""

import sqlite3
from collections.abc import Collection

from sqlite_utils import Database as SchemaDatabase

from huleedu.store.migrations import Migrations

outbox_identity_migrations = Migrations("outbox_identity")

_RANDOM_ID = "lower(hex(randomblob(16)))"


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


def read_outbox_id(connection: sqlite3.Connection) -> str:
    """Return the id of this outbox."""
    (outbox_id,) = connection.execute("SELECT outbox_id FROM outbox_identity").fetchone()
    return str(outbox_id)


def renew(connection: sqlite3.Connection) -> str:
    """Give the outbox a new id and return it; to be done whenever a backup is put back.

    Row ids given since the backup are given again: under the old id, the position that the broker
    keeps would say that these rows are sent already.
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
