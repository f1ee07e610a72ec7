"""One connection of the server: uvicorn's, with a stricter reader and refusals that arrive."""

from http import HTTPStatus
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from huleedu.core.logging import create_service_logger
from huleedu.web.problems import PROBLEM
from huleedu.web.request_reader import RequestReader

LINGER_SECONDS = 2.0
"""How long a caller that was refused may go on sending before its connection is closed."""

_LOG = create_service_logger("web")


class Connection(H11Protocol):
    """A connection that counts what it receives, and refuses what cannot be read as a request."""

    conn: RequestReader

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.conn = RequestReader()
        self.received = 0
        self.is_refused = False

    def data_received(self, data: bytes) -> None:
        """Count, and go on; what follows a refusal is dropped."""
        self.received += len(data)
        if not self.is_refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer 4xx or 5xx, as the reader said, and close once the caller has had time to read it.

        At once, what it still sends would have the system discard the answer.
        """
        refusal = self.conn.refusal
        status, detail = 400, msg
        if refusal is not None:
            status, detail = refusal.error_status_hint, str(refusal)
        _LOG.warning("http_refused", status=status, reason=detail)
        self.is_refused = True
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # half of an answer is out
            self.transport.close()
            return
        for event in _answer(status, detail):
            if not (isinstance(event, h11.Data) and self.conn.is_head):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:  # its body broke off: what its route still answers goes nowhere
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _answer(status: int, detail: str) -> list[h11.Event]:
    phrase = HTTPStatus(status).phrase
    body = msgspec.json.encode(
        {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
    )
    headers = [
        (b"Content-Type", PROBLEM.encode()),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]
    return [
        h11.Response(status_code=status, headers=headers, reason=phrase.encode()),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ]
