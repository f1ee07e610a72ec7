"""Real SQLite files in memory, copied from templates, whose commits can be interfered with."""

import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from huleedu.app.modules import MODULES
from huleedu.core.hops import Hops
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations, migrate
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS, STORE_NAME
from tests.simulation.effects import NOTED, Effect, add_triggers

SHARED_MEMORY = Path("/dev/shm")


class Killed(BaseException):
    """The process is gone, in the midst of a transaction."""


class Owner(Protocol):
    """The process that has a store open."""

    connections: list[sqlite3.Connection]

    def commit(self, store: str, connection: "SimulatedConnection") -> None:
        """Do the commit, or fail, or both; may raise ``Killed`` and ``sqlite3.Error``."""
        ...


_MOVING = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH).*\b(batch|essay)", re.DOTALL)


class SimulatedConnection(sqlite3.Connection):
    """A connection whose commits are the simulation's to decide about."""

    store: str
    owner: Owner

    has_spoken = False
    """Whether rows were added to the outbox since the last commit."""
    has_moved = False
    """Whether batches or essays were written since."""
    effects: tuple[Effect, ...] = ()
    """What the deliveries in this transaction came to."""
    _effects_before: tuple[Effect, ...] = ()
    _effect: Effect | None = None
    """Of the delivery that is being handled."""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self.owner.commit(self.store, self)
            self.has_spoken = self.has_moved = False
            self.effects = ()
            return self.cursor()
        if sql == "SAVEPOINT one":
            self._effects_before, self._effect = self.effects, None
        elif sql == "ROLLBACK TO one":
            self.effects = self._effects_before
        elif sql == "RELEASE one":
            self._effect = None
        if _MOVING.match(sql):
            self.has_moved = True
        return super().execute(sql, parameters)

    def begin_effect(self, effect: Effect) -> None:
        """Count what changes from now on, until this write is over, as of one delivery."""
        self._effect = effect
        self.effects += (effect,)

    def note_change(self, table: str) -> None:
        """Hear of a row that changes."""
        if self._effect is not None:
            self._effect.changes[table] += 1

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if sql.startswith("INSERT INTO outbox"):
            self.has_spoken = True
        elif _MOVING.match(sql):
            self.has_moved = True
        return super().executemany(sql, parameters)


class SimulatedDatabase(Database):
    """The real store, on a file that is made already."""

    def __init__(self, path: Path, hops: Hops, owner: Owner) -> None:
        # A template has no table of migrations, and needs none.
        super().__init__(path, (), hops)
        self._owner = owner

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{self.path}?mode={mode}",
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
            factory=SimulatedConnection,
        )
        connection.store = self.path.stem
        connection.owner = self._owner
        connection.create_function(NOTED, 1, connection.note_change)
        self._owner.connections.append(connection)
        return connection


def trouble(code: int, text: str) -> sqlite3.OperationalError:
    """Return what SQLite raises for this code."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def store_migrations() -> Mapping[str, Sequence[Migrations]]:
    """Return what each store consists of, by its name."""
    stores: dict[str, Sequence[Migrations]] = {
        name: module.migrations for name, module in MODULES.items() if module.migrations
    }
    stores[STORE_NAME] = DEAD_LETTER_MIGRATIONS
    return stores


class Templates:
    """Empty stores to begin with; fresh copies take the place of those of the run before."""

    def __init__(self) -> None:
        parent = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        self._directory = Path(tempfile.mkdtemp(prefix="huleedu-simulation-", dir=parent))
        self._templates = self._directory / "templates"
        self._templates.mkdir()
        for name, migrations in store_migrations().items():
            _make(self._templates / f"{name}.db", migrations)
        self._contents = {p.name: p.read_bytes() for p in sorted(self._templates.iterdir())}
        self.stores = self._directory / "stores"

    def fresh(self) -> Path:
        """Return a directory with empty stores."""
        shutil.rmtree(self.stores, ignore_errors=True)
        self.stores.mkdir()
        for name, content in self._contents.items():
            (self.stores / name).write_bytes(content)
        return self.stores

    def template(self, name: str) -> Path:
        """Return the file of an empty store."""
        return self._templates / f"{name}.db"

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _make(path: Path, migrations: Iterable[Migrations]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size=4096")
    migrate(connection, str(path), list(migrations))
    connection.execute(f"DROP TABLE {Migrations.migrations_table}")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "outbox_identity" in tables:
        connection.execute("UPDATE outbox_identity SET outbox_id = ?", (path.stem,))
    if "handled" in tables:
        add_triggers(connection)
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
