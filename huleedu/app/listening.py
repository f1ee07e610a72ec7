"""Several HTTP servers in one process."""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from huleedu.core.errors import Misconfigured
from huleedu.core.logging import create_service_logger
from huleedu.web.application import Application
from huleedu.web.server import serve

_logger = create_service_logger("app")


@dataclass(frozen=True)
class Listener:
    """An application and where it is to answer."""

    event: str
    """What the log says once it does."""
    host: str
    port: int
    application: Application
    module: str = ""


async def serve_all(listeners: Sequence[Listener], stop: anyio.Event, stop_seconds: float) -> None:
    """Serve each until ``stop`` is set; then finish the requests in hand and return.

    Raises ``Misconfigured`` when an address cannot be listened on; then all of them have stopped.
    """
    refused: list[Misconfigured] = []

    async def serve_one(listener: Listener, tasks: anyio.abc.TaskGroup) -> None:
        try:
            await serve(
                listener.application,
                host=listener.host,
                port=listener.port,
                stop=stop,
                stop_seconds=stop_seconds,
                on_listening=lambda port: _tell(listener, port),
            )
        except Misconfigured as fault:
            refused.append(fault)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for listener in listeners:
            tasks.start_soon(serve_one, listener, tasks)
    if refused:
        raise refused[0]


def _tell(listener: Listener, port: int) -> None:
    url = f"http://{listener.host}:{port}"
    if listener.module:
        _logger.info(listener.event, url=url, module=listener.module)
    else:
        _logger.info(listener.event, url=f"{url}/metrics")
