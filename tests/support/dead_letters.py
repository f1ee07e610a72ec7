"""What the embedded bus has set aside."""

import sqlite3

import msgspec

from huleedu.core.message import Message


def read_dead_letters(connection: sqlite3.Connection) -> list[Message]:
    """Return all dead letters, oldest first, as they were received, with the cause in headers."""
    return [
        Message(topic, key, value, msgspec.json.decode(headers))
        for topic, key, value, headers in connection.execute(
            "SELECT topic, key, value, headers FROM dead_letter ORDER BY id"
        )
    ]
