"""Waiting for a batch to become known."""

import anyio

from huleedu.core.errors import NotFound
from huleedu.files.model import Registration
from huleedu.files.store import find_registration
from huleedu.store.database import Database

# Another process that shares the store may hear the registration: its commits wake nobody here.
_LOOK_SECONDS_MAX = 1.0
_ID_SHOWN_CHARACTERS = 64


class Registrations:
    """The batches that were heard of, and those that are about to be."""

    def __init__(self, database: Database, wait_seconds: float) -> None:
        self._database = database
        self._wait_seconds = wait_seconds
        self._committed = anyio.Event()
        database.after_commit(self._note_commit)

    async def expect(self, batch_id: str) -> Registration:
        """Return the registration of a batch, as soon as it is heard.

        Raises ``NotFound``, with the time after which to ask again, when it was not heard in time.
        """
        deadline = anyio.current_time() + self._wait_seconds
        while True:
            committed = self._committed
            registration = await self._database.read(lambda db: find_registration(db, batch_id))
            if registration is not None:
                return registration
            left = deadline - anyio.current_time()
            if left <= 0:
                raise _unknown(batch_id, self._wait_seconds)
            with anyio.move_on_after(min(left, _LOOK_SECONDS_MAX)):
                await committed.wait()

    def _note_commit(self) -> None:
        committed, self._committed = self._committed, anyio.Event()
        committed.set()


def _unknown(batch_id: str, wait_seconds: float) -> NotFound:
    shown = "".join(letter if letter.isprintable() else "�" for letter in batch_id)
    if len(shown) > _ID_SHOWN_CHARACTERS:
        shown = f"{shown[:_ID_SHOWN_CHARACTERS]}…"
    return NotFound(
        f"Batch “{shown}” is not known here, or not yet. If it was registered just now, send the "
        "files again in a few seconds; otherwise check the batch id. Nothing of them was kept.",
        retry_after_seconds=wait_seconds,
    )
