"""Following a batch to its end, with events and without."""

from collections.abc import Callable

import httpx
import pytest

from huleedu.cli import watching
from huleedu.cli.answers import BatchResults
from huleedu.cli.batch_report import Reporter
from huleedu.cli.progress import steps
from huleedu.core.errors import NotFound
from tests.cli.answering import client_of, results_of

pytestmark = pytest.mark.anyio


class Batch:
    """A batch of which another essay is checked each time that somebody looks.

    Nothing is before somebody listened as often as ``begins_after``.
    """

    def __init__(
        self, events: Callable[[httpx.Request], httpx.Response], begins_after: int = 0
    ) -> None:
        self._events = events
        self._begins_after = begins_after
        self.looks = 0
        self.listened: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            self.listened.append(request.headers.get("last-event-id"))
            return self._events(request)
        self.looks += len(self.listened) >= self._begins_after
        done = min(max(0, self.looks - 1), 2)
        return httpx.Response(200, json=results_of(is_finished=done == 2, succeeded=done))


def _stream(body: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


def _broken(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(502)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "GATHER_SECONDS", 0.01)


@pytest.mark.parametrize(
    "events",
    [
        _broken,
        lambda _request: httpx.Response(200, content=b"<html>"),
        lambda _request: _stream("id: 1\nevent: essay\ndata: {}\n\nid: 2\ndata: {}\n\n"),
    ],
    ids=["refused", "another page", "a stream that ends"],
)
async def test_a_batch_is_followed_to_its_end(
    events: Callable[[httpx.Request], httpx.Response],
) -> None:
    """Every step is told and the last results returned, whatever becomes of the stream."""
    batch = Batch(events)
    seen: list[int] = []

    def on_change(results: BatchResults) -> None:
        seen.append(results.counts.succeeded)

    _, ended = await watching.watch(client_of(batch), "b", on_change)

    assert seen == [0, 1, 2]
    assert ended.is_success


async def test_a_stream_that_breaks_goes_on_after_the_last_event() -> None:
    """Who reconnects says which event was seen last."""
    batch = Batch(lambda _request: _stream("id: 7\ndata: {}\n\n"), begins_after=2)
    await watching.watch(client_of(batch), "b", lambda _results: None)

    assert batch.listened[:2] == [None, "7"]


async def test_an_unknown_batch_is_told_as_it_is() -> None:
    """The error is the server's refusal, not a group of errors."""

    def unknown(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"detail": "no batch 'b'"})

    with pytest.raises(NotFound, match="no batch 'b'"):
        await watching.watch(client_of(unknown), "b", lambda _results: None)


async def test_without_a_terminal_each_change_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Changes are told once each, on stderr."""
    batch = Batch(_broken)
    with steps() as shown:
        reporter = Reporter(shown, is_terminal=False)
        await watching.watch(client_of(batch), "b", reporter.on_change)
    told = capsys.readouterr()

    assert told.out == ""
    assert told.err.splitlines() == [
        "batch b: Being checked",
        "e0 (no file): Being checked",
        "e1 (no file): Being checked",
        "e0 (no file): Checked",
        "batch b: Done",
        "e1 (no file): Checked",
    ]
