"""Waiting for a batch to end: told by the server's events where they come, else by asking."""

from collections.abc import Callable

import anyio

from huleedu.cli.answers import BatchResults
from huleedu.cli.client import ServerClient
from huleedu.core.errors import HuleEduError, Unavailable

ASK_SECONDS = 2.0
"""How often results are asked for while no stream of events is open."""
ASK_SECONDS_LISTENING = 15.0
"""The same while one is: a stream may be silent though it broke."""
GATHER_SECONDS = 0.2
"""Events that come so close together are worth one look at the results."""
RECONNECT_SECONDS_MAX = 10.0

OnChange = Callable[[BatchResults], None]


async def watch(
    client: ServerClient,
    batch_id: str,
    on_change: OnChange,
    *,
    is_new: bool = False,
    attempt: int = 1,
) -> tuple[bytes, BatchResults]:
    """Return the results of a batch once it has ended, as the server wrote them and decoded.

    ``on_change`` hears of every step there.  The end of an attempt before ``attempt`` is none:
    results may not have heard yet that the batch is checked again.
    Raises what ``ServerClient.results`` raises.
    """
    listener = _Listener(client, batch_id)
    failure: HuleEduError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.listen)
        try:
            ended = await _follow(
                client, batch_id, on_change, listener, is_new=is_new, attempt=attempt
            )
        except HuleEduError as error:  # raised below, as itself and not in a group of one
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return ended


async def poll(
    client: ServerClient, batch_id: str, on_change: OnChange, every_seconds: float
) -> BatchResults:
    """Return the results of a batch once it has ended, by asking again and again.

    For a server in this process, which hands out answers only when they are complete.
    """
    while True:
        _, results = await client.results(batch_id, is_new=True)
        on_change(results)
        if results.is_finished:
            return results
        await anyio.sleep(every_seconds)


async def _follow(
    client: ServerClient,
    batch_id: str,
    on_change: OnChange,
    listener: "_Listener",
    *,
    is_new: bool,
    attempt: int,
) -> tuple[bytes, BatchResults]:
    while True:
        document, results = await client.results(batch_id, is_new=is_new)
        on_change(results)
        if results.is_finished and not _is_of_an_earlier(results, attempt):
            return document, results
        await anyio.sleep(GATHER_SECONDS)
        await listener.wait()


def _is_of_an_earlier(results: BatchResults, attempt: int) -> bool:
    # A batch may be stopped before any essay was tried, the first time or again.
    return 1 < attempt > results.attempt and results.status != "cancelled"


class _Listener:
    """Reads the events of a batch, reconnecting for as long as it is let."""

    def __init__(self, client: ServerClient, batch_id: str) -> None:
        self._client = client
        self._batch_id = batch_id
        self._heard = anyio.Event()
        self._is_listening = False

    async def listen(self) -> None:
        """Listen for ever; a stream that breaks or ends goes on after the last event seen."""
        last_event_id: str | None = None
        pause = 0.5
        while True:
            try:
                async with self._client.events(self._batch_id, last_event_id) as events:
                    self._is_listening = True
                    async for event in events:
                        last_event_id = event.id or last_event_id
                        pause = 0.5
                        self._heard.set()
            except Unavailable:
                pause = min(RECONNECT_SECONDS_MAX, 2 * pause)  # asking goes on meanwhile
            self._is_listening = False
            self._heard.set()
            await anyio.sleep(pause)

    async def wait(self) -> None:
        """Return when something was heard since the last call, or when it is time to ask."""
        with anyio.move_on_after(ASK_SECONDS_LISTENING if self._is_listening else ASK_SECONDS):
            await self._heard.wait()
        self._heard = anyio.Event()
