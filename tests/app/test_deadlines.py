"""Who keeps the deadlines of a deployment."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from huleedu.app import running_roles
from huleedu.core.enums import ProcessingEvent
from huleedu.core.settings import Settings
from huleedu.core.topics import topic_name
from huleedu.els.handlers import EssayLifecycle
from huleedu.store import outbox
from tests.app.fake_transport import FakeTransport
from tests.support.builders import hear, registered
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio
LONG_AGO = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
TIMED_OUT = topic_name(ProcessingEvent.BATCH_READINESS_TIMEOUT)


async def test_the_els_worker_keeps_deadlines(tmp_path: Path) -> None:
    """A batch that is late already is told as soon as a worker starts beside the API."""
    settings = Settings(data_dir=tmp_path)
    heard = [hear(registered("b", ["e1"]))]
    async with running_roles(settings, ["els-api"], connect=FakeTransport().connect) as api:
        store = api.stores["els"]
        await store.write(lambda db: EssayLifecycle().apply(db, heard, LONG_AGO))
        async with running_roles(settings, ["els-worker"], connect=FakeTransport().connect):
            said = await eventually(
                lambda: store.read(lambda db: outbox.unsent(db, TIMED_OUT, 0, 10)), bool, 60
            )

    assert [row.message.key for row in said] == [b"b"]
