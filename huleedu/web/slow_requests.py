"""Ends connections whose request does not arrive: each would keep a place of the server's for ever.

A caller who sends a byte now and then ("slowloris") costs nothing but one of the places that there
are for connections; some hundreds of such callers would leave none for anybody else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import h11

from huleedu.web.connection import Connection

_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n"
    b"Retry-After: 1\r\n\r\n"
)


@dataclass(frozen=True)
class Patience:
    """How long a request may take to arrive."""

    head_seconds: float = 20.0
    """From the end of the one before; longer than a connection is kept without a request."""
    body_seconds: float = 30.0
    """After which a body must have come at the pace that is asked for."""
    body_bytes_per_second: float = 1_000.0


@dataclass(frozen=True)
class _Arrival:
    part: object
    """Which part of which request."""
    since: float
    received: int


class SlowRequests:
    """Looks at the connections now and then, and ends those that are too slow."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._arriving: dict[Connection, _Arrival] = {}

    def end(self, connections: Iterable[Connection], now: float) -> None:
        """End what has been arriving for too long at ``now``, in seconds of the event loop."""
        arriving: dict[Connection, _Arrival] = {}
        for connection in tuple(connections):
            part = _part(connection)
            if part is None:
                continue
            arrival = self._arriving.get(connection)
            if arrival is None or arrival.part != part:
                arrival = _Arrival(part, now, connection.received)
            arriving[connection] = arrival
            if self._is_too_slow(connection, arrival, now):
                _end(connection)
        self._arriving = arriving

    def _is_too_slow(self, connection: Connection, arrival: _Arrival, now: float) -> bool:
        seconds = now - arrival.since
        if connection.conn.their_state is h11.IDLE:
            return seconds > self._patience.head_seconds
        received = connection.received - arrival.received
        due = seconds * self._patience.body_bytes_per_second
        return seconds > self._patience.body_seconds and received < due


def _part(connection: Connection) -> object:
    """Return what is arriving, None when it is for us to go on."""
    if connection.is_refused:
        return None
    state = connection.conn.their_state
    if state is h11.IDLE:
        return "head", connection.cycle
    if state is h11.SEND_BODY and not connection.flow.read_paused:
        return "body", connection.cycle
    return None


def _end(connection: Connection) -> None:
    cycle = connection.cycle
    if cycle is None or cycle.response_complete or not cycle.response_started:
        connection.transport.write(_TOO_SLOW)
    if cycle is not None:
        cycle.disconnected = True  # what its route still answers goes nowhere
    connection.transport.close()
