"""What is kept is its owner's alone, whatever the umask and whatever was there before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from huleedu.core.hops import ThreadHops
from huleedu.files.spool import MEMORY_BYTES_MAX
from huleedu.files.spool import Spool as UploadSpool
from huleedu.results.spool import Spool as ResultsSpool
from huleedu.store.database import Database
from huleedu.store.directory import LOCK_NAME, locked, numbered, role_secret
from tests.support.consumers import effect_migrations

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def modes_in(directory: Path) -> dict[str, str]:
    return {path.name: mode(path) for path in sorted(directory.iterdir())}


async def use(path: Path) -> dict[str, str]:
    """Write and read a store; return the modes of its files while it is open."""
    store = Database(path, [effect_migrations], ThreadHops())
    await store.open()
    await store.write(
        lambda db: db.execute("INSERT INTO effect (batch_id, event_id) VALUES ('b', 'e')") and None
    )
    await store.read(lambda db: db.execute("SELECT count(*) FROM effect").fetchone())
    found = modes_in(path.parent)
    await store.close()
    return found


async def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    """The file, its log and its index, in a folder that is made for it."""
    found = await use(tmp_path / "data" / "store.db")

    assert found == dict.fromkeys(("store.db", "store.db-shm", "store.db-wal"), "0o600")
    assert mode(tmp_path / "data") == "0o700"


async def test_a_store_that_was_open_to_others_is_no_more(tmp_path: Path) -> None:
    """One that an earlier version made, killed before it put its log away."""
    folder = tmp_path / "data"
    store = Database(folder / "store.db", [effect_migrations], ThreadHops())
    await store.open()
    await store.write(lambda db: db.execute("DELETE FROM effect") and None)
    for path in folder.iterdir():
        path.chmod(0o644)

    found = await use(folder / "store.db")

    assert set(found.values()) == {"0o600"}
    await store.close()


def test_locks_and_the_secret_are_their_owners_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "data"), numbered(tmp_path / "data", "bos") as _:
        role_secret(tmp_path / "data")
        found = modes_in(tmp_path / "data")

    assert set(found.values()) == {"0o600"}
    assert len(found) == 3
    assert mode(tmp_path / "data") == "0o700"


@pytest.mark.parametrize("kept", [[], [LOCK_NAME, "bos.db", "bos.db-wal", "role.secret"]])
def test_a_data_folder_that_was_open_to_others_is_no_more(tmp_path: Path, kept: list[str]) -> None:
    """An empty one, or one that this program has used: with all that is in it."""
    tmp_path.chmod(0o777)
    for name in kept:
        (tmp_path / name).touch(0o666)
    with locked(tmp_path):
        assert set(modes_in(tmp_path).values()) == {"0o600"}
        assert mode(tmp_path) == "0o700"


def test_a_folder_of_other_things_stays_as_it_is_and_that_is_told(tmp_path: Path) -> None:
    """Somebody's home, say: to close it is not for this program, to say that it is open is."""
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch(0o644)
    with capture_logs() as logs, locked(tmp_path):
        assert modes_in(tmp_path) == {"letter.txt": "0o644", LOCK_NAME: "0o600"}

    assert mode(tmp_path) == "0o755"
    (told,) = [one for one in logs if one["event"] == "open_to_others"]
    assert (told["path"], told["mode"]) == (str(tmp_path), "755")


async def test_what_waits_in_temporary_files_is_its_owners_alone() -> None:
    """An upload and a download that are too large for memory."""
    results = ResultsSpool(ThreadHops())
    await results.write(lambda: results.file.write(b"x" * 2_000_000))
    async with UploadSpool(ThreadHops()) as upload:
        await upload.append(b"x" * (MEMORY_BYTES_MAX + 1))
        found = {
            oct(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            for file in (results.file, upload._file)
        }
    results.close()

    assert found == {"0o600"}
