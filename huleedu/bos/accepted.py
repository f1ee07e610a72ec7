"""What BOS has accepted of a batch (see ``core.ports.AcceptedActions``)."""

import sqlite3

from huleedu.core.enums import BatchStatus
from huleedu.core.ports import Accepted
from huleedu.store.database import Database


def accepted_in(connection: sqlite3.Connection, batch_id: str) -> Accepted:
    """Return the current attempt of a batch, and whether it is cancelled."""
    row = connection.execute(
        "SELECT attempt, status FROM batch WHERE batch_id = ?", (batch_id,)
    ).fetchone()
    if row is None:
        return Accepted()
    return Accepted(attempt=row[0], is_cancelled=row[1] == BatchStatus.CANCELLED)


class LocalAccepted:
    """Answers from the store of BOS, in a process that holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_batch(self, batch_id: str) -> Accepted:
        """Return what was accepted of the batch.  Raises ``StoreUnavailable``."""
        return await self._database.read(lambda db: accepted_in(db, batch_id))
