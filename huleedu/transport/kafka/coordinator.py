"""Questions to whichever broker coordinates a group or a transactional id."""

from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.api import Request

PAUSE_SECONDS = 0.02
"""Between two questions to a coordinator that is not ready yet."""


async def ask_coordinator(
    client: AIOKafkaClient, kind: CoordinationType, name: str, request: Request[Any]
) -> Any:
    """Return what the coordinator of ``name`` answers, as it is: it may tell of an error.

    It is looked up each time, for it may move, and asked on the connection that the library keeps
    for coordinators.  To be called under a deadline; raises the library's errors.
    """
    coordinator = await client.coordinator_lookup(kind, name)
    return await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
