"""``huleedu dlq``: what it shows, what it does, and what it refuses."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from typer.testing import CliRunner

from huleedu.cli.dlq_options import moment
from huleedu.cli.failures import WrongUse
from huleedu.cli.program import program
from huleedu.core.clock import to_text
from huleedu.core.errors import Conflict, MalformedMessage
from huleedu.core.hops import ThreadHops
from huleedu.core.message import Message
from huleedu.core.settings import Settings
from huleedu.core.topics import dead_letter_topic
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.failures import dead_letter, dead_letter_cause
from tests.cli.program import Ran, run
from tests.crash.process import HuleeduProcess
from tests.support.builders import content_ready, registered
from tests.support.eventually import eventually

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
ELS = str(Settings().els.consumer_group)
FILES = str(Settings().files.consumer_group)
REGISTERED = registered("b1", ["e1", "e2"])
SECRET = "Åsa Öberg"


def set_aside(message: Message, group: str, fault: Exception) -> Message:
    return dead_letter(message, dead_letter_cause(fault, message, group, 2, NOW))


LETTERS = (
    set_aside(REGISTERED, ELS, Conflict("against the rule")),
    set_aside(content_ready("b2", "e1", "0" * 32), ELS, Conflict(f"of {SECRET}")),
    set_aside(
        Message(REGISTERED.topic, b"\xff\x1b", b"{\x1b[31m\xff" + SECRET.encode()),
        FILES,
        MalformedMessage("no JSON"),
    ),
    set_aside(REGISTERED, "somebody-else", Conflict("of another time")),
)


def keep(data_dir: Path, letters: Sequence[Message] = LETTERS) -> None:
    """Have these dead letters in the data directory."""

    async def work() -> None:
        store = Database(data_dir / "dead_letters.db", DEAD_LETTER_MIGRATIONS, ThreadHops())
        await store.open()
        rows = [
            (
                *(m.topic, m.headers["dead-letter-group"], m.event_id, m.key, m.value),
                *(json.dumps(dict(m.headers)).encode(), to_text(NOW)),
            )
            for m in letters
        ]
        await store.write(
            lambda db: db.executemany(
                "INSERT INTO dead_letter"
                " (topic, consumer_group, event_id, key, value, headers, kept_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        )
        await store.close()

    anyio.run(work)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    keep(tmp_path / "data")
    return tmp_path / "data"


def dlq(data_dir: Path, *arguments: object) -> Ran:
    return run("dlq", *arguments, "--data-dir", data_dir)


def states(data_dir: Path) -> list[str]:
    listed = json.loads(dlq(data_dir, "list", "--settled", "--json").out)
    return [one["state"] for one in listed]


def published(data_dir: Path) -> list[Message]:
    """Return what the server will publish."""

    async def work() -> list[Message]:
        store = Database(data_dir / "dead_letters.db", DEAD_LETTER_MIGRATIONS, ThreadHops())
        waiting = await store.read(outbox.topics_waiting)
        rows = [
            row
            for topic in waiting
            for row in await store.read(lambda db, topic=topic: outbox.unsent(db, topic, 0, 100))  # type: ignore[misc]
        ]
        await store.close()
        return [row.message for row in sorted(rows, key=lambda row: row.id)]

    return anyio.run(work)


def test_the_list_tells_the_cause_and_nothing_of_the_value(data_dir: Path) -> None:
    """Each that waits has a line with where, who, what and how often; no name is among it."""
    ran = dlq(data_dir, "list")
    listed = json.loads(dlq(data_dir, "list", "--json").out)

    assert ran.code == 0
    assert ELS in ran.out
    assert "MalformedMessage" in ran.out
    assert [one["id"] for one in listed] == ["1", "2", "3", "4"]
    assert [one["batch_id"] for one in listed] == ["b1", "b2", None, "b1"]
    assert {one["first_failed_at"] for one in listed} == {"2026-01-12T08:00:00.000000Z"}
    assert {one["attempts"] for one in listed} == {2}
    assert SECRET not in ran.out + json.dumps(listed, ensure_ascii=False)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--topic", REGISTERED.topic), ["1", "3", "4"]),
        (("--topic", dead_letter_topic(REGISTERED.topic), "--group", ELS), ["1"]),
        (("--error", "MalformedMessage"), ["3"]),
        (("--batch", "b2"), ["2"]),
        (("--since", "2026-01-12T09:00+01:00"), ["1", "2", "3", "4"]),
        (("--since", "2026-01-12T08:00:01Z"), []),
        (("--limit", "2"), ["1", "2"]),
    ],
)
def test_filters_narrow_the_list(options: tuple[str, ...], ids: list[str], data_dir: Path) -> None:
    """Each filter leaves what it names."""
    listed = json.loads(dlq(data_dir, "list", *options, "--json").out)

    assert [one["id"] for one in listed] == ids


def test_a_list_that_is_cut_short_says_so(data_dir: Path) -> None:
    """Whoever sees a part is told that there is more; of nothing, that there is nothing."""

    assert "There are more" in dlq(data_dir, "list", "--limit", "3").err
    assert "There are more" not in dlq(data_dir, "list", "--limit", "4").err
    assert "none of these" in dlq(data_dir, "list", "--batch", "b9").err


def test_one_is_shown_whole_and_harmless(data_dir: Path) -> None:
    """JSON is shown as such, anything else with what is not to be read escaped; the bytes
    themselves are in --json."""
    good, bad = dlq(data_dir, "show", 1), dlq(data_dir, "show", 3)
    short = dlq(data_dir, "show", 1, "--characters", 10)
    document = json.loads(dlq(data_dir, "show", 1, "--json").out)

    assert '\n  "event_type": "huleedu.batch.essays.registered.v1"' in good.out
    assert "against the rule" in good.out
    assert "{\\x1b[31m\\xff" + SECRET in bad.out
    assert "\\xff\\x1b" in bad.out
    assert "\x1b" not in bad.out
    assert "characters more" in short.err
    assert document["value"] == json.loads(REGISTERED.value)
    assert json.loads(dlq(data_dir, "show", 3, "--json").out)["value"] is None
    assert dlq(data_dir, "show", 17).code == 1


def test_deep_json_is_shown_all_the_same(tmp_path: Path) -> None:
    """What nests deeper than it can be read is shown as text."""
    deep = Message(REGISTERED.topic, b"b1", b"[" * 100_000)
    keep(tmp_path, [set_aside(deep, ELS, MalformedMessage("too deep"))])

    assert dlq(tmp_path, "show", 1).code == 0
    assert json.loads(dlq(tmp_path, "show", 1, "--json").out)["value"] is None


def test_a_replay_says_what_was_set_aside(data_dir: Path) -> None:
    """Key and value are published as they were, to the topic where they failed; what no group
    here would hear stays, and is told."""
    ran = dlq(data_dir, "replay", "--all", "--json")
    first = published(data_dir)[0]

    assert ran.code == 1
    assert json.loads(ran.out) == {
        "replayed": 3,
        "left": 0,
        "refused": {"4": "no group somebody-else listens in this deployment"},
    }
    assert states(data_dir) == ["replayed"] * 3 + ["waiting"]
    assert (first.topic, first.key, first.value) == (
        REGISTERED.topic,
        REGISTERED.key,
        REGISTERED.value,
    )
    assert first.headers["dead-letter-group"] == ELS
    assert "dead-letter-error-message" not in first.headers
    assert dlq(data_dir, "replay", 4, "--to-everyone").code == 0
    assert states(data_dir) == ["replayed"] * 4
    again = dlq(data_dir, "replay", "--all")
    assert (again.code, again.out) == (0, "replayed: 0\n")


def test_a_dry_run_tells_and_does_nothing(data_dir: Path) -> None:
    """What would be done is counted by kind, and nothing has changed."""
    for command in ("replay", "discard"):
        ran = dlq(data_dir, command, "--group", ELS, "--dry-run")
        document = json.loads(dlq(data_dir, command, "--all", "--dry-run", "--json").out)

        assert ran.code == 0
        assert "2 would be" in ran.err
        assert sum(kind["count"] for kind in document["kinds"]) == len(document["ids"]) >= 3
    assert states(data_dir) == ["waiting"] * 4
    assert published(data_dir) == []


def test_a_discard_asks_first(data_dir: Path) -> None:
    """Without a yes nothing is discarded; what was discarded can be replayed by its id."""
    arguments = ["dlq", "discard", "--group", ELS, "--data-dir", str(data_dir)]
    refused = CliRunner().invoke(program, arguments, input="n\n")
    silent = CliRunner().invoke(program, arguments)
    assert (refused.exit_code, silent.exit_code) == (1, 1)
    assert states(data_dir) == ["waiting"] * 4
    agreed = CliRunner().invoke(program, arguments, input="y\n")

    assert agreed.exit_code == 0
    assert states(data_dir) == ["discarded", "discarded", "waiting", "waiting"]
    assert dlq(data_dir, "discard", 3, "--yes").out == "discarded: 1\n"
    assert published(data_dir) == []
    assert dlq(data_dir, "replay", 1).code == 0
    assert states(data_dir)[0] == "replayed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay",), "say which dead letters"),
        (("discard", "--yes"), "say which dead letters"),
        (("replay", "--all", "--group", "g"), "--all means every"),
        (("discard", "1", "--group", "g"), "leave out the filters"),
        (("list", "--since", "2026-01-12"), "is no time"),
        (("list", "--since", "yesterday"), "is no time"),
    ],
)
def test_what_is_not_meant_clearly_is_not_done(
    arguments: tuple[str, ...], said: str, data_dir: Path
) -> None:
    """Nothing is settled by leaving something out, and a time needs its offset."""
    ran = dlq(data_dir, *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert states(data_dir) == ["waiting"] * 4


def test_an_id_that_is_not_there_stops_all(data_dir: Path) -> None:
    """Whoever mistypes one of several ids is told before anything is done."""
    ran = dlq(data_dir, "replay", 1, 17)

    assert ran.code == 1
    assert "no dead letter 17" in ran.err
    assert states(data_dir) == ["waiting"] * 4


def test_a_directory_without_dead_letters_is_told(tmp_path: Path) -> None:
    """Nothing is made where nothing is; without a broker either, try again later."""
    ran = dlq(tmp_path, "list", "--transport", "memory")
    away = dlq(tmp_path, "list", "--kafka-bootstrap-servers", "127.0.0.1:1")

    assert ran.code == 2
    assert "does not exist" in ran.err
    assert away.code == 75
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("2026-01-12T07:00Z", timedelta(hours=1)),
        ("2026-01-12T09:00+02:00", timedelta(hours=1)),
    ],
)
def test_a_moment_is_so_long_ago_or_a_time(text: str, ago: timedelta) -> None:
    """Both ways of saying when mean the same moment."""

    assert moment(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2w", "٣h", "2026-01-12T08:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(WrongUse, match="is no time"):
        moment(text, NOW)


@pytest.mark.slow
def test_a_running_server_handles_what_is_replayed(tmp_path: Path) -> None:
    """The group that had set it aside takes the batch up; no other group hears of it."""
    keep(tmp_path / "data")
    server = HuleeduProcess(tmp_path / "data", tmp_path / "log")

    async def status() -> int:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{server.url}/v1/essays/e1/status")).status_code

    async def until_known() -> None:
        await eventually(status, lambda code: code == 200)

    server.start()
    try:
        before = anyio.run(status)
        ran = dlq(tmp_path / "data", "replay", 1)
        anyio.run(until_known)
        results = httpx.get(f"{server.url}/v1/results/b1")
    finally:
        server.stop()

    assert (before, ran.code) == (404, 0)
    assert "within seconds" in ran.err
    assert results.status_code == 404
