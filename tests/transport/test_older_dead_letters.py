"""Dead letters that an older program kept."""

import sqlite3
from contextlib import aclosing, closing
from pathlib import Path

import msgspec
import pytest

from huleedu.core.clock import to_text
from huleedu.core.errors import Rejected
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.migrations import migrate
from huleedu.transport.dead_letter_box import Wanted
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.stored_dead_letter_box import StoredDeadLetterBox
from tests.support.consumers import proceed

pytestmark = pytest.mark.anyio


async def test_what_was_replayed_before_is_recognised_by_a_newer_program(tmp_path: Path) -> None:
    """A store in which an older program noted a replay, under one id whomever it was for: to the
    group it is a repeat, to every group it is none."""
    platform = Platform()
    message = proceed(platform, "b1")
    fault, now = Rejected("against the rule"), platform.clock.now()
    letter = dead_letter(message, dead_letter_cause(fault, message, "g", 1, now))
    with closing(sqlite3.connect(tmp_path / "dead.db", isolation_level=None)) as older:
        migrate(older, "dead", DEAD_LETTER_MIGRATIONS)
        for column in ("replayed_to_group", "replayed_to_everyone"):
            older.execute(f"ALTER TABLE dead_letter DROP COLUMN {column}")
        older.execute("DELETE FROM _sqlite_migrations WHERE name = 'add_audiences'")
        older.execute(
            "INSERT INTO dead_letter (topic, consumer_group, event_id, key, value, headers,"
            " kept_at, settled_as, settled_at) VALUES (?, 'g', ?, ?, ?, ?, ?, 'replayed', ?)",
            (
                *(letter.topic, letter.event_id, letter.key, letter.value),
                *(msgspec.json.encode(letter.headers), to_text(now), to_text(now)),
            ),
        )
    store = Database(tmp_path / "dead.db", DEAD_LETTER_MIGRATIONS, platform.hops)
    await store.open()
    box = StoredDeadLetterBox(store, platform)
    try:
        async with aclosing(box.letters(Wanted(settled_too=True))) as letters:
            (seen,) = [letter async for letter in letters]
        assert await box.replay([seen]) == 0
        assert await box.replay([seen], to_everyone=True) == 1
    finally:
        await store.close()
