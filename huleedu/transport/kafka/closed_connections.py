"""A write to a connection that is closed fails as the library expects, also under uvloop.

uvloop raises ``RuntimeError`` there, asyncio's own loop none.  The library does not know of that:
its task that keeps the metadata dies of it, unnoticed, and a client never learns any more where its
partitions are.
"""

from typing import Any

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    def send(self, request: Any, expect_response: bool = True) -> Any:
        try:
            return super().send(request, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        try:
            return super()._send_sasl_token(payload, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def _broken(self, error: RuntimeError) -> KafkaConnectionError:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        return KafkaConnectionError(f"connection to {self.host}:{self.port} broken: {error}")


def use_in_library() -> None:
    """Have every client that is made from now on connect in this way."""
    aiokafka.conn.AIOKafkaConnection = _Connection
