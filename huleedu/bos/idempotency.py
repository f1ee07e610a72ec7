"""A request that is sent again, under a key of the caller's, is answered as it was the first time.

The answer is kept in the transaction of the effect, so that not even two processes can both do it.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from huleedu.core.errors import Conflict, Rejected

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ASK_AGAIN_SECONDS = 1


class UnusableKey(Rejected):
    """The Idempotency-Key is not one."""


class KeyReused(Rejected):
    """The key was used before, with another request."""


class RequestInFlight(Conflict):
    """The first request with this key is not answered yet."""


class KeyedRequest(msgspec.Struct, frozen=True):
    """What a caller asked for under a key."""

    operation: str
    key: str
    digest: str
    """SHA-256 of the body in one canonical form: the same request, the same digest."""


class Answer(msgspec.Struct, frozen=True):
    """An answer to the byte: HTTP status and JSON body."""

    status: int
    body: bytes


class RememberedAnswer(msgspec.Struct, frozen=True):
    """The first answer under a key, and the digest of what it answered."""

    digest: str
    answer: Answer


def keyed_request(operation: str, key: str | None, body: object) -> KeyedRequest | None:
    """Return what was asked for under the key; None without one.

    ``body`` is decoded JSON: the order of keys and white space do not make another request.
    Raises ``UnusableKey``.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise UnusableKey("Idempotency-Key: 1-255 visible ASCII characters are meant")
    canonical = msgspec.json.encode(body, order="sorted")
    return KeyedRequest(operation, key, hashlib.sha256(canonical).hexdigest())


def first_answer(request: KeyedRequest, remembered: RememberedAnswer) -> Answer:
    """Return the first answer again.  Raises ``KeyReused`` when the request is another one."""
    if remembered.digest != request.digest:
        raise KeyReused(
            f"Idempotency-Key {request.key!r} was used before with another body; "
            "repeat that body, or take a new key"
        )
    return remembered.answer


class RequestsInFlight:
    """The keyed requests that this process is working on."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str]] = set()

    @contextmanager
    def hold(self, request: KeyedRequest | None) -> Iterator[None]:
        """Work on a request alone; one without a key is never held up.

        Raises ``RequestInFlight`` when the key is being worked on.
        """
        if request is None:
            yield
            return
        name = (request.operation, request.key)
        if name in self._held:
            raise RequestInFlight(
                f"the first request with Idempotency-Key {request.key!r} is still being answered",
                retry_after_seconds=_ASK_AGAIN_SECONDS,
            )
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)
