"""What a relay with a memory outside the store must know: which outbox this is, and who relays it.

The name of an outbox is random and made with the store, so that the position which a broker keeps
for it is never taken for another's.
"""

import sqlite3

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


def read_outbox_id(connection: sqlite3.Connection) -> str:
    """Return the id of this outbox."""
    (outbox_id,) = connection.execute("SELECT outbox_id FROM outbox_identity").fetchone()
    return str(outbox_id)


def renew(connection: sqlite3.Connection) -> str:
    """Give the outbox a new id and return it; to be done whenever a backup is put back.

    Row ids given since the backup are given again: under the old id, the position that the broker
    keeps would say that these rows are sent already.
    """
    connection.execute(f"UPDATE outbox_identity SET outbox_id = {_RANDOM_ID}")
    return read_outbox_id(connection)
