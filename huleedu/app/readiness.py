"""Why a process cannot do its work now: what ``/readyz`` answers."""

from collections.abc import Mapping, Sequence

from huleedu.core.background import BackgroundTasks
from huleedu.core.errors import StoreUnavailable
from huleedu.store.database import Database
from huleedu.transport.protocol import Transport
from huleedu.web.application import Readiness


def readiness_of(
    tasks: BackgroundTasks, transport: Transport | None, stores: Mapping[str, Database]
) -> Readiness:
    """Return what asks the background tasks, the transport and every store."""

    async def readiness() -> Sequence[str]:
        flowing = transport.troubles() if transport is not None else ()
        return [*tasks.troubles(), *flowing, *await _store_troubles(stores)]

    return readiness


async def _store_troubles(stores: Mapping[str, Database]) -> Sequence[str]:
    troubles: list[str] = []
    for store in stores.values():
        try:
            await store.write(lambda _connection: None)
        except StoreUnavailable as fault:
            troubles.append(str(fault))
    return troubles
