"""What a running program forgets: every table that has a retention, each after what is documented.

A purge that nobody calls, or a table whose retention changed unnoticed, is found here.
"""

import pkgutil
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import anyio
import pytest

import huleedu
from huleedu.app import all_in_one, running_roles
from huleedu.core.clock import to_text
from huleedu.core.enums import Language
from huleedu.core.roles import ROLES
from huleedu.core.settings import Settings
from huleedu.store.purging import Purge
from tests.app.fake_transport import FakeTransport
from tests.support.eventually import eventually

README = Path(__file__).parents[2] / "README.md"
DAY = timedelta(days=1)
_ROW = re.compile(r"^\| [^|]*`(\w+)` \| (\d+) days[^|]*\|", re.MULTILINE)
_FIXED = {"settled_as": "discarded", "correlation_id": "5a1d5a44-3c0b-4f3e-9d2f-2f8a8a1d0c11"}
_VALUES: Mapping[str, Callable[[int], object]] = {
    "TEXT": str,
    "BLOB": lambda _: b"{}",
    "INTEGER": lambda number: number,
}


def documented() -> dict[str, timedelta]:
    """Return table → how long the README says that its rows are kept."""
    section = README.read_text().partition("### What is kept, and for how long")[2]
    return {table: int(days) * DAY for table, days in _ROW.findall(section.partition("\n## ")[0])}


def purges() -> set[Purge]:
    """Return every purge that any file of the program defines."""
    names = [one.name for one in pkgutil.walk_packages(huleedu.__path__, "huleedu.")]
    modules = [import_module(name) for name in names if not name.endswith("__main__")]
    return {value for module in modules for value in vars(module).values()
            if isinstance(value, Purge)}  # fmt: skip


def put(connection: sqlite3.Connection, purge: Purge, number: int, at: datetime) -> None:
    """Add a row of which nothing matters but its age."""
    columns = [
        (name, kind)
        for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({purge.table})")
        if name not in {"id"}
    ]
    values = {name: _FIXED.get(name, _VALUES[kind](number)) for name, kind in columns}
    values[purge.moment] = to_text(at)
    names = ", ".join(values)
    connection.execute(
        f"INSERT INTO {purge.table} ({names}) VALUES ({', '.join('?' * len(values))})",
        list(values.values()),
    )


def rows(directory: Path) -> dict[tuple[str, Purge], list[str]]:
    """Return the moments of the rows in each table of each store that has a purge."""
    found = {}
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            for purge in purges():
                if purge.table in tables:
                    query = f"SELECT {purge.moment} FROM {purge.table} ORDER BY 1"
                    found[path.stem, purge] = [at for (at,) in connection.execute(query)]
    return found


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[None]:
    async with all_in_one(Settings(data_dir=directory), languages=[Language.ENGLISH]):
        yield


@asynccontextmanager
async def over_roles(directory: Path) -> AsyncIterator[None]:
    names = [name for name, role in ROLES.items() if role.module and role.module != "spellcheck"]
    async with running_roles(
        Settings(data_dir=directory), names, connect=lambda *_: FakeTransport()
    ):
        yield


Program = Callable[[Path], AbstractAsyncContextManager[None]]


def test_every_retention_is_documented() -> None:
    """The README names each table from which rows are forgotten, and no other."""
    assert set(documented()) == {purge.table for purge in purges()}


@pytest.mark.anyio
@pytest.mark.parametrize("program", [embedded, over_roles])
async def test_a_running_program_forgets_what_it_documents(
    tmp_path: Path, program: Program
) -> None:
    """A row a minute older than documented goes, one a minute younger stays, in every store."""
    async with program(tmp_path):
        pass
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)
    for store, purge in rows(tmp_path):
        keep = documented()[purge.table]
        with closing(sqlite3.connect(tmp_path / f"{store}.db")) as connection:
            for number, age in enumerate((keep + minute, keep - minute, timedelta())):
                put(connection, purge, 1_000 + number, now - age)
            connection.commit()
    filled = rows(tmp_path)
    expected = (
        purges() if program is embedded else {p for p in purges() if p.table != "dead_letter"}
    )
    assert {purge for _, purge in filled} == expected

    async with program(tmp_path):
        await eventually(
            lambda: anyio.to_thread.run_sync(rows, tmp_path),
            lambda left: left == {key: before[1:] for key, before in filled.items()},
        )
