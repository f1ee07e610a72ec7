"""Every store of a running program waits for the disk before it says that something is written."""

from pathlib import Path

import anyio
import pytest

from huleedu.app import running_roles
from huleedu.core.roles import ROLES
from huleedu.core.settings import Settings
from tests.app.fake_transport import FakeTransport
from tests.app.test_roles import PARTS
from tests.e2e.school import school
from tests.support.classes import registration
from tests.support.connections import FULL, watched_connections

pytestmark = pytest.mark.anyio
EMBEDDED = {"bos.db", "els.db", "files.db", "content.db", "results.db", "dead_letters.db"}


async def test_every_writer_of_the_whole_program_waits_for_the_disk(tmp_path: Path) -> None:
    """The modules' stores, with outbox and handled ids in them, and the dead letters."""
    with watched_connections() as connections:
        async with school(tmp_path) as program:
            answer = await program.client.post("/v1/batches/register", json=registration(1))
            assert answer.status_code == 202

            writers = connections.synchronous()

    assert {store for store, _ in writers} == EMBEDDED
    assert [one for one in writers if one[1] != FULL] == []
    assert stores_in(tmp_path) == EMBEDDED


@pytest.mark.parametrize("role", [*(part.role for part in PARTS if part.stores), "all"])
async def test_every_writer_of_a_role_waits_for_the_disk(role: str, tmp_path: Path) -> None:
    """Alone, and together with all the others."""
    names = [name for name in ROLES if name != "topics"] if role == "all" else [role]
    transport = FakeTransport()
    with watched_connections() as connections:
        async with running_roles(
            Settings(data_dir=tmp_path), names, connect=transport.connect
        ) as running:
            await anyio.wait_all_tasks_blocked()
            for store in running.stores.values():
                await store.write(lambda _connection: None)

            writers = connections.synchronous()

    assert {store for store, _ in writers} == stores_in(tmp_path)
    assert [one for one in writers if one[1] != FULL] == []


def stores_in(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.db")}
