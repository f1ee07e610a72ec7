"""The store of contents: equal bytes once, for ever the same, checked when read."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from huleedu.content import (
    MIGRATIONS,
    DamagedContent,
    DifferentContent,
    LocalContent,
    content_bytes_max,
    storage_id_of,
)
from huleedu.content.identity import is_storage_id
from huleedu.core.errors import NotFound, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.store.database import Database

pytestmark = pytest.mark.anyio
LIMITS = Limits(text_bytes=100)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[Database, LocalContent]]:
    platform = Platform()
    database = Database(directory / "content.db", MIGRATIONS, platform.hops)
    await database.open()
    try:
        yield database, LocalContent(database, platform, LIMITS)
    finally:
        await database.close()


async def rows(database: Database) -> int:
    return int(
        await database.read(lambda db: db.execute("SELECT count(*) FROM content").fetchone()[0])
    )


async def overwrite(database: Database, storage_id: str, content: bytes) -> None:
    await database.write(
        lambda db: db.execute(
            "UPDATE content SET bytes = ? WHERE storage_id = ?", (content, storage_id)
        )
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=8))
def test_what_was_put_is_got_and_stored_once(contents: list[bytes]) -> None:
    """Every content comes back as it was, also after a restart; equal ones share one row."""

    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with opened(Path(directory)) as (database, content):
                ids = [await content.put(one) for one in [*contents, *contents]]
                stored = await rows(database)
            async with opened(Path(directory)) as (_, content):
                got = [await content.get(one) for one in ids]

        assert [*contents, *contents] == got
        assert len(set(contents)) == stored
        assert all(is_storage_id(one) for one in ids)

    anyio.run(scenario)


async def test_equal_contents_put_at_the_same_time_are_stored_once(tmp_path: Path) -> None:
    """Concurrent puts of equal bytes all answer the same id and leave one row."""
    ids: list[StorageId] = []
    async with opened(tmp_path) as (database, content):

        async def put() -> None:
            ids.append(await content.put("Läraren läste uppsatsen.".encode()))

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(put)

        assert [storage_id_of("Läraren läste uppsatsen.".encode())] * 30 == ids
        assert await rows(database) == 1


def test_an_id_follows_from_the_bytes_alone() -> None:
    """The id of a text is the same in every process and version of the program."""
    assert storage_id_of(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert storage_id_of(b"An essay.") != storage_id_of(b"An essay. ")


@pytest.mark.parametrize(
    "name", ["", "x", "../content.db", "CAE66941D9EFBD404E4D88758EA67670", "c" * 33, "å" * 32]
)
async def test_what_is_no_id_is_not_found(tmp_path: Path, name: str) -> None:
    """A name that cannot be an id is answered as unknown."""
    async with opened(tmp_path) as (_, content):
        with pytest.raises(NotFound):
            await content.get(StorageId(name))


async def test_an_unknown_id_is_not_found(tmp_path: Path) -> None:
    """An id under which nothing is stored is unknown."""
    async with opened(tmp_path) as (_, content):
        with pytest.raises(NotFound, match="no content is stored under"):
            await content.get(storage_id_of(b"never stored"))


async def test_a_content_over_the_limit_is_refused(tmp_path: Path) -> None:
    """A content may be four times the text limit, for a log is longer than its text; no more."""
    largest = content_bytes_max(LIMITS)
    assert largest == 400
    async with opened(tmp_path) as (database, content):
        await content.put(b"a" * largest)
        with pytest.raises(TooLarge, match="401 bytes; 400 are allowed"):
            await content.put(b"a" * (largest + 1))

        assert await rows(database) == 1


async def test_a_damaged_content_is_told_and_logged(tmp_path: Path) -> None:
    """Bytes that no longer belong to their id are never given out as that text."""
    async with opened(tmp_path) as (database, content):
        storage_id = await content.put(b"An essay.")
        await overwrite(database, storage_id, b"An assay.")

        with capture_logs() as logs, pytest.raises(DamagedContent, match="is damaged"):
            await content.get(storage_id)

    assert [("content_damaged", storage_id)] == [(log["event"], log["storage_id"]) for log in logs]
    assert "assay" not in str(logs)


async def test_a_damaged_content_is_healed_by_putting_it_again(tmp_path: Path) -> None:
    """The bytes that belong to an id replace those that do not."""
    async with opened(tmp_path) as (database, content):
        storage_id = await content.put(b"An essay.")
        await overwrite(database, storage_id, b"An assay.")

        assert await content.put(b"An essay.") == storage_id
        assert await content.get(storage_id) == b"An essay."


async def test_different_contents_of_one_id_are_never_confused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should two contents ever have one id, the second is refused and the first stays."""
    # The only way to see a collision: shorten the digest to nothing.
    monkeypatch.setattr("huleedu.content.store.storage_id_of", lambda _: StorageId("0" * 32))
    async with opened(tmp_path) as (_, content):
        await content.put(b"first")
        with pytest.raises(DifferentContent):
            await content.put(b"second")

        assert await content.get(StorageId("0" * 32)) == b"first"
