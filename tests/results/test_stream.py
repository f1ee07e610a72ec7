"""Following a batch live, over a real socket."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from huleedu.core.clock import SystemClock
from huleedu.core.enums import RefusalReason
from huleedu.core.errors import StoreUnavailable
from huleedu.core.metrics import RESULTS_STREAMS
from huleedu.core.platform import Platform
from huleedu.results import stream
from huleedu.web.server import serve
from tests.results.serving import Serving, serving
from tests.results.story import START, Story
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

EVENTS = "/v1/results/batch-1/events"


@asynccontextmanager
async def listening(
    directory: Path, heartbeat_seconds: float = 15.0
) -> AsyncIterator[tuple[Serving, httpx.AsyncClient]]:
    async with serving(directory, heartbeat_seconds) as running, anyio.create_task_group() as tasks:
        ports: list[int] = []

        async def server() -> None:
            await serve(
                running.application,
                host="127.0.0.1",
                port=0,
                stop=running.stopping,
                stop_seconds=5,
                on_listening=ports.append,
            )

        async def listens() -> list[int]:
            return ports

        tasks.start_soon(server)
        (port,) = await eventually(listens, bool)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield running, client
        running.stopping.set()


async def open_streams() -> float:
    (metric,) = RESULTS_STREAMS.collect()
    return float(metric.samples[0].value)


async def read_all(client: httpx.AsyncClient, **how: Any) -> list[ServerSentEvent]:
    async with aconnect_sse(client, "GET", EVENTS, **how) as source:
        return [event async for event in source.aiter_sse()]


async def test_a_finished_batch_is_told_at_once(tmp_path: Path) -> None:
    """Who comes late gets how things stand, and the end."""
    async with listening(tmp_path) as (running, client):
        await running.hear(Story().without_failures())

        events = await read_all(client)

    assert [event.event for event in events] == ["snapshot", "done"]
    assert {int(event.id) for event in events} == {9}
    assert events[0].json() == {
        "batch_id": "batch-1",
        "status": "completed_successfully",
        "status_text": "Done",
        "is_finished": True,
        "current_attempt": 1,
        "counts": {
            "expected": 2,
            "texts_received": 2,
            "pending": 0,
            "succeeded": 2,
            "failed": 0,
            "corrections": 6,
        },
        "missing": 0,
        "deadline": None,
        "timed_out_at": None,
        "proceeded_at": None,
        "cancel_reason": None,
    }


async def test_every_change_is_told_as_it_happens(tmp_path: Path) -> None:
    """Each event comes once, in order, with how the essay and the batch stand; then the end."""
    first, *rest = Story().without_failures()
    seen: list[ServerSentEvent] = []
    async with listening(tmp_path) as (running, client):
        await running.hear([first])
        async with aconnect_sse(client, "GET", EVENTS) as source:
            assert source.response.headers["content-type"].startswith("text/event-stream")
            assert source.response.headers["cache-control"] == "no-store"
            events = source.aiter_sse()
            seen.append(await anext(events))
            for message in rest:
                await running.hear([message])
                seen.append(await anext(events))
            seen += [event async for event in events]

    assert [event.event for event in seen] == [
        "snapshot",
        *["essay"] * 2,
        "batch",
        *["essay"] * 4,
        "batch",
        "done",
    ]
    assert [int(event.id) for event in seen] == [*range(1, 10), 9]
    told = seen[6].json()
    assert (told["event"], told["attempt"]) == ("essay.spellcheck.result.received", 1)
    assert (told["essay"]["essay_id"], told["essay"]["status_text"]) == ("a", "Checked")
    assert (told["counts"]["succeeded"], told["status"]) == (1, "processing_pipelines")


async def test_what_a_teacher_does_and_what_is_missing_is_told(tmp_path: Path) -> None:
    """A timeout, an extension, a refused text and the cancelling, each with what was said of it."""
    story = Story()
    messages = [
        story.registered(),
        story.content("a"),
        story.timed_out(["b"]),
        story.extended(START + timedelta(days=1)),
        story.refused("x", "text-x", RefusalReason.NOT_REGISTERED),
        story.cancelled("the wrong class", "Eva"),
    ]
    async with listening(tmp_path) as (running, client):
        for message in messages:
            await running.hear([message])
        events = await read_all(client, headers={"Last-Event-ID": "2"})

    told = [event.json() for event in events]
    assert [event.event for event in events] == ["batch", "batch", "essay", "batch", "done"]
    essential = ("missing_essay_ids", "deadline", "reason", "cancelled_by")
    said = [{k: v for k, v in one["details"].items() if k in essential} for one in told[:-1]]
    assert said == [
        {"missing_essay_ids": ["b"]},
        {"deadline": "2026-01-13T08:00:00.000000Z"},
        {"reason": "not_registered"},
        {"reason": "the wrong class", "cancelled_by": "Eva"},
    ]
    assert (told[-1]["status"], told[-1]["missing"], told[-1]["status_text"]) == (
        "cancelled",
        1,
        "Cancelled: the wrong class",
    )


async def test_a_reader_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """From any event on, by header or parameter, nothing is lost and nothing repeated."""
    async with listening(tmp_path) as (running, client):
        await running.hear(Story().without_failures())
        for last in range(1, 10):
            by_header = await read_all(client, headers={"Last-Event-ID": str(last)})
            by_parameter = await read_all(client, params={"last_event_id": str(last)})

            assert [int(event.id) for event in by_header] == [*range(last + 1, 10), 9]
            assert [event.event for event in by_header][-1] == "done"
            assert [event.id for event in by_header] == [event.id for event in by_parameter]
        both = await read_all(client, headers={"Last-Event-ID": "8"}, params={"last_event_id": "1"})
        assert [int(event.id) for event in both] == [9, 9]


async def test_an_id_of_a_store_that_is_gone_starts_anew(tmp_path: Path) -> None:
    """An id beyond all that is known comes from another store: the reader gets a snapshot."""
    async with listening(tmp_path) as (running, client):
        await running.hear(Story().without_failures())

        events = await read_all(client, headers={"Last-Event-ID": "1000"})

    assert [event.event for event in events] == ["snapshot", "done"]


async def test_a_long_stream_comes_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More events than are read at once come all the same, each once, the end without a pause."""
    monkeypatch.setattr(stream, "POLL_SECONDS", 1_000.0)
    story = Story(essay_ids=[f"essay-{n}" for n in range(100)])
    messages = story.without_failures()
    assert len(messages) > 3 * stream.SLICE_EVENTS
    async with listening(tmp_path) as (running, client):
        await running.hear(messages)

        count = len(messages)
        for last in (3, count - stream.SLICE_EVENTS):
            events = await read_all(client, headers={"Last-Event-ID": str(last)})

            assert [int(event.id) for event in events] == [*range(last + 1, count + 1), count]


async def test_an_end_on_the_edge_of_a_slice_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last event fills a slice the end still follows at once, not at the next look."""
    monkeypatch.setattr(stream, "POLL_SECONDS", 1_000.0)
    first, *rest = Story(essay_ids=[f"essay-{n}" for n in range(66)]).without_failures()
    assert len(rest) == 2 * stream.SLICE_EVENTS
    async with listening(tmp_path, heartbeat_seconds=1_000.0) as (running, client):
        await running.hear([first])
        async with aconnect_sse(client, "GET", EVENTS) as source:
            events = source.aiter_sse()
            await anext(events)
            await running.hear(rest)
            seen = [event.event async for event in events]

    assert (len(seen), seen[-1]) == (len(rest) + 1, "done")


async def test_another_batch_is_none_of_its_business(tmp_path: Path) -> None:
    """A stream tells of its own batch only."""
    async with listening(tmp_path) as (running, client):
        await running.hear(Story("batch-2").without_failures())
        await running.hear(Story().without_failures())

        events = await read_all(client, headers={"Last-Event-ID": "1"})

    assert [int(event.id) for event in events] == [*range(10, 19), 18]


async def test_a_quiet_stream_shows_that_it_is_alive(tmp_path: Path) -> None:
    """Proxies close what is silent: a comment comes now and then."""
    async with listening(tmp_path, heartbeat_seconds=0.05) as (running, client):
        await running.hear(Story().without_failures()[:1])
        async with client.stream("GET", EVENTS) as answer:
            lines = answer.aiter_lines()
            beats = 0
            while beats < 2:
                beats += await anext(lines) == ": still here"


async def test_what_another_process_writes_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a commit of its own process to wake it, a stream looks now and then."""
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.05)
    first, *rest = Story().without_failures()
    async with listening(tmp_path) as (running, client):
        await running.hear([first])
        async with serving(tmp_path) as another, aconnect_sse(client, "GET", EVENTS) as source:
            events = source.aiter_sse()
            assert (await anext(events)).event == "snapshot"
            await another.hear(rest)
            seen = [event.event async for event in events]

    assert (len(seen), seen[-1]) == (9, "done")


async def test_streams_end_when_the_process_stops(tmp_path: Path) -> None:
    """A stop ends every stream in order, so that readers come again elsewhere."""
    async with listening(tmp_path) as (running, client):
        await running.hear(Story().without_failures()[:1])
        async with aconnect_sse(client, "GET", EVENTS) as source:
            events = source.aiter_sse()
            await anext(events)
            running.stopping.set()
            assert [event async for event in events] == []


async def test_a_reader_that_hangs_up_is_forgotten(tmp_path: Path) -> None:
    """The number of open streams follows the readers that are there."""
    before = await open_streams()
    async with listening(tmp_path) as (running, client):
        await running.hear(Story().without_failures()[:1])
        async with aconnect_sse(client, "GET", EVENTS) as source:
            await anext(source.aiter_sse())
            await eventually(open_streams, lambda count: count == before + 1)
        await eventually(open_streams, lambda count: count == before)


class CountingReader(stream.ProgressReader):
    """Counts how often the store is read."""

    reads = 0

    async def after(self, last: int, *, always: bool) -> stream.Slice:
        self.reads += 1
        return await super().after(last, always=always)


async def test_a_slow_reader_holds_one_slice(tmp_path: Path) -> None:
    """However much there is to tell, it is read from the store only as the reader takes it."""
    messages = Story(essay_ids=[f"essay-{n}" for n in range(100)]).without_failures()
    async with serving(tmp_path) as running:
        await running.hear(messages)
        platform = Platform()
        reader = CountingReader(running.database, platform, "batch-1")
        chunks = stream.follow(
            reader,
            await reader.start(),
            stream.Commits(running.database),
            platform.clock,
            running.stopping,
            last_event_id=1,
            heartbeat_seconds=15.0,
        )
        reads = []
        async with aclosing(chunks):
            await anext(chunks)  # when to come again
            for _ in range(2 * stream.SLICE_EVENTS + 1):
                await anext(chunks)
                reads.append(reader.reads)

    assert reads == [1] * stream.SLICE_EVENTS + [2] * stream.SLICE_EVENTS + [3]


async def test_a_store_that_cannot_be_read_ends_the_stream(tmp_path: Path) -> None:
    """Trouble with the store cuts the stream in order: its reader comes again and loses nothing."""

    class Unreadable(stream.ProgressReader):
        async def after(self, last: int, *, always: bool) -> stream.Slice:
            raise StoreUnavailable(f"cannot read after {last}, {always}")

    async with serving(tmp_path) as running:
        await running.hear(Story().without_failures()[:1])
        platform = Platform()
        reader = Unreadable(running.database, platform, "batch-1")
        chunks = [
            chunk
            async for chunk in stream.follow(
                reader,
                await reader.start(),
                stream.Commits(running.database),
                platform.clock,
                running.stopping,
                last_event_id=None,
                heartbeat_seconds=15.0,
            )
        ]

    assert [chunk.split(b"\n")[0] for chunk in chunks] == [b"retry: 2000", b"id: 1"]


class NeverPolls(SystemClock):
    """A clock by which nobody looks again unless woken."""

    async def sleep(self, seconds: float) -> None:
        await (super().sleep(seconds) if seconds < 1 else anyio.sleep_forever())


async def test_what_comes_between_reading_and_waiting_wakes_the_reader(tmp_path: Path) -> None:
    """A commit that no read has seen is waited for by no poll."""
    first, then, *_ = Story().without_failures()
    async with serving(tmp_path) as running:
        await running.hear([first])

        class Overtaken(stream.ProgressReader):
            """While it answers that there is nothing new, there is."""

            has_been = False

            async def after(self, last: int, *, always: bool) -> stream.Slice:
                found = await super().after(last, always=always)
                if not self.has_been:
                    self.has_been = True
                    await running.hear([then])
                return found

        reader = Overtaken(running.database, Platform(), "batch-1")
        chunks = stream.follow(
            reader,
            await reader.start(),
            stream.Commits(running.database),
            NeverPolls(),
            running.stopping,
            last_event_id=1,
            heartbeat_seconds=3_600.0,
        )
        async with aclosing(chunks):
            await anext(chunks)  # when to come again
            with anyio.fail_after(20):
                change = await anext(chunks)

    assert change.startswith(b"id: 2\n")
