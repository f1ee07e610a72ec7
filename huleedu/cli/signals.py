"""Running a server until a signal says to stop."""

import os
import signal
from collections.abc import Awaitable, Callable

import anyio

from huleedu.cli.output import tell_on_terminal
from huleedu.core.background import BackgroundTasks


def run_until_signalled(serve: Callable[[anyio.Event], Awaitable[None]]) -> None:
    """Run ``serve`` on an event loop of its own, with an event that SIGTERM or Ctrl-C set.

    It is for ``serve`` to end then, with the work in hand finished; a second Ctrl-C ends the
    process at once.
    """

    async def guarded() -> None:
        stop = anyio.Event()
        async with BackgroundTasks(on_death=stop.set) as tasks:
            tasks.start("signals", lambda: _stop_on_signal(stop))
            await serve(stop)

    anyio.run(guarded, backend_options={"use_uvloop": True})


async def _stop_on_signal(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set() and number == signal.SIGINT:
                # Nothing said is lost: what counts is on disk, and the locks go with the process.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
            if not stop.is_set():
                tell_on_terminal("Finishing the work in hand. Ctrl-C again ends it at once.")
            stop.set()
