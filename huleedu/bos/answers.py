"""First answers by Idempotency-Key, in the store of the effects that they speak of."""

import sqlite3
from datetime import datetime

from sqlite_utils import Database as SchemaDatabase

from huleedu.bos.idempotency import Answer, KeyedRequest, RememberedAnswer, first_answer
from huleedu.core.clock import to_text
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations
from huleedu.store.purging import Purge

answer_migrations = Migrations("answer")


@answer_migrations()
def create_answer(database: SchemaDatabase) -> None:
    """One row for each operation and key."""
    database.conn.execute("""
        CREATE TABLE answer (
            operation TEXT NOT NULL,
            key TEXT NOT NULL,
            digest TEXT NOT NULL,
            status INTEGER NOT NULL,
            body BLOB NOT NULL,
            answered_at TEXT NOT NULL,
            PRIMARY KEY (operation, key)
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("CREATE INDEX answer_by_age ON answer (answered_at)")


async def answered_before(database: Database, request: KeyedRequest | None) -> Answer | None:
    """Return the first answer under the request's key, if there is one.

    Raises ``KeyReused``, ``StoreUnavailable``.
    """
    if request is None:
        return None
    remembered = await database.read(lambda db: find_answer(db, request))
    return None if remembered is None else first_answer(request, remembered)


async def kept_meanwhile(
    database: Database, kept: Answer | None, request: KeyedRequest | None
) -> Answer:
    """Return what a transaction answered; None from it: another process had answered the key.

    Raises ``KeyReused``, ``StoreUnavailable``.
    """
    if kept is not None:
        return kept
    assert request is not None, "only a keyed request can have been answered meanwhile"
    earlier = await answered_before(database, request)
    assert earlier is not None, "an answer outlives the request that it answers"
    return earlier


def find_answer(connection: sqlite3.Connection, request: KeyedRequest) -> RememberedAnswer | None:
    """Return how the key was answered first, or None when it is new."""
    row = connection.execute(
        "SELECT digest, status, body FROM answer WHERE operation = ? AND key = ?",
        (request.operation, request.key),
    ).fetchone()
    return None if row is None else RememberedAnswer(row[0], Answer(row[1], row[2]))


def remember_answer(
    connection: sqlite3.Connection, request: KeyedRequest, answer: Answer, at: datetime
) -> None:
    """Keep the first answer of a key, in the transaction of its effect.  The key must be new."""
    connection.execute(
        "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?)",
        (
            request.operation,
            request.key,
            request.digest,
            answer.status,
            answer.body,
            to_text(at),
        ),
    )


purge_answers = Purge("answer", "operation, key", "answered_at")
"""Forgets answers, after which a request under the same key would be new."""
