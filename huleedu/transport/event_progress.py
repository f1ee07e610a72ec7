"""Progress of a delivery where the transport has no positions: event by event."""

import sqlite3
from collections.abc import Sequence

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store.handled import claim


class EventProgress:
    """Notes each event as handled by its group (see ``protocol.Progress``)."""

    def __init__(self, group: str, messages: Sequence[Message], platform: Platform) -> None:
        self._group = group
        self._by_event_id: dict[str, Message] = {}
        for message in messages:  # a repeat stands where the event was first said
            self._by_event_id.setdefault(message.event_id, message)
        self._platform = platform

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the messages whose events this group had not handled, in order."""
        event_ids = list(self._by_event_id)
        fresh = claim(connection, self._group, event_ids, self._platform.clock.now())
        return [self._by_event_id[event_id] for event_id in event_ids if event_id in fresh]
