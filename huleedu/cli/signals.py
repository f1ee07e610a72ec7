"""Running a command on an event loop until it ends or a signal says to stop."""

import gc
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from huleedu.cli.output import tell_on_terminal
from huleedu.core.background import BackgroundTasks

T = TypeVar("T")

_COLLECTOR_THRESHOLDS = (100_000, 50, 100)
COLLECT_SECONDS = 60.0
"""How often the collector looks at everything, whatever its thresholds say: a program that has
served 1,800 classes is looked through in 18 ms (measured)."""


def run_until_signalled(serve: Callable[[anyio.Event], Awaitable[None]]) -> None:
    """Run ``serve`` on an event loop of its own, with an event that SIGTERM or Ctrl-C set.

    It is for ``serve`` to end then, with the work in hand finished; a second Ctrl-C ends the
    process at once.
    """

    def finish(stop: anyio.Event) -> None:
        tell_on_terminal("Finishing the work in hand. Ctrl-C again ends it at once.")
        stop.set()

    async def guarded() -> None:
        _collect_less_often()
        stop = anyio.Event()
        async with BackgroundTasks(on_death=stop.set) as tasks:
            tasks.start("signals", lambda: _at_signal(lambda: finish(stop)))
            tasks.start("collector", _collect_now_and_then)
            await serve(stop)

    anyio.run(guarded, backend_options={"use_uvloop": True})


def run_to_end(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` on an event loop of its own; Ctrl-C and SIGTERM cancel it.

    What it holds is given back, then ``KeyboardInterrupt`` is raised, for SIGTERM too.  (The event
    loop's own handler of Ctrl-C would tear through what is shielded from cancellation.)
    """
    results: list[T] = []

    async def guarded() -> None:
        with anyio.CancelScope() as working:
            async with BackgroundTasks() as tasks:
                tasks.start("signals", lambda: _at_signal(working.cancel))
                results.append(await work())

    anyio.run(guarded)
    if not results:
        raise KeyboardInterrupt
    return results[0]


def _collect_less_often() -> None:
    """Spare the collector what lives as long as the process, and thousands of records in hand.

    By default it looks at all of them after every 700 new objects; that was a fifth of the CPU
    time of a busy els-worker (``make bench-readiness``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


async def _collect_now_and_then() -> None:
    """Bound by time what libraries leave in circles; a quiet program takes hours to 100,000.

    Each child process leaves its streams so.  Until the threshold is met, memory grows.  Never
    returns.
    """
    while True:
        await anyio.sleep(COLLECT_SECONDS)
        gc.collect()


async def _at_signal(act: Callable[[], None]) -> None:
    """Act at the first SIGTERM or Ctrl-C; a Ctrl-C after it ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        is_first = True
        async for number in signals:
            if is_first:
                is_first = False
                act()
            elif number == signal.SIGINT:
                # Nothing said is lost: what counts is on disk, and the locks go with the process.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
