"""Bringing a store's schema forward when the program starts."""

import sqlite3
from collections.abc import Callable, Sequence

import sqlite_utils
from sqlite_utils import Database

from huleedu.core.errors import Misconfigured

__all__ = ["Migrations", "migrate"]


AtOpening = Callable[[sqlite3.Connection], None]


class Migrations(sqlite_utils.Migrations):
    """A set of migrations, and what is done whenever a store that has them is opened to write."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.openings: list[AtOpening] = []

    def at_opening(self, work: AtOpening) -> AtOpening:
        """Have ``work`` done in the transaction that brings the schema forward, after that."""
        self.openings.append(work)
        return work


def migrate(connection: sqlite3.Connection, name: str, sets: Sequence[Migrations]) -> None:
    """Apply what is missing and note the opening, all or nothing.

    A store of a newer program is left alone.

    Raises ``Misconfigured`` when the store knows migrations that this program does not.
    """
    # The lock is taken first, so that two processes starting together do it once.
    connection.execute("BEGIN IMMEDIATE")
    try:
        database = Database(connection)
        for migrations in sets:
            applied = {migration.name for migration in migrations.applied(database)}
            migrations.apply(database)
            known = {migration.name for migration in migrations.applied(database)} - applied
            _refuse_newer(name, migrations, applied, known)
        _refuse_unknown_sets(name, database, sets)
        for migrations in sets:
            for work in migrations.openings:
                work(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _refuse_newer(name: str, migrations: Migrations, applied: set[str], new: set[str]) -> None:
    ours = {migration.name for migration in migrations._migrations}
    unknown = sorted(applied - ours - new)
    if unknown:
        raise Misconfigured(
            f"the store {name} was written by a newer version of this program "
            f"({migrations.name}: {', '.join(unknown)}); start that version, or restore a backup"
        )


def _refuse_unknown_sets(name: str, database: Database, sets: Sequence[Migrations]) -> None:
    table = database.table(Migrations.migrations_table)
    if not table.exists():
        return
    stored = {row["migration_set"] for row in table.rows_where(select="migration_set")}
    unknown = sorted(stored - {migrations.name for migrations in sets})
    if unknown:
        raise Misconfigured(
            f"the store {name} holds {', '.join(unknown)}, which this program does not know; "
            "it was written by a newer version, or it is another module's"
        )
