"""What a text is called: an id that follows from its bytes alone, and how large it may be."""

import hashlib
import re

from huleedu.core.ids import StorageId
from huleedu.core.settings import Limits

# 128 bits, for the contract's 32 hex characters.  By chance two of n different texts share an id
# with odds of about n² / 2^129 (birthday bound): for a billion texts 1.5e-21.  To make such a pair
# on purpose takes about 2^64 digests; a pair made all the same is refused by the store, which
# compares the bytes, so that one text is never given out for another.
_ID_BYTES = 16
_STORAGE_ID = re.compile(r"[0-9a-f]{32}")

# A processing log quotes every wrong word with its alternatives, about 200 bytes each: at 6 bytes
# a word, four times the text leaves room for one wrong word in eight in the longest text allowed.
LOG_ROOM_FACTOR = 4


def storage_id_of(content: bytes) -> StorageId:
    """Return the id of these bytes: BLAKE2b with a digest of 128 bits, as 32 hex characters."""
    return StorageId(hashlib.blake2b(content, digest_size=_ID_BYTES).hexdigest())


def is_storage_id(text: str) -> bool:
    """Tell whether a text is the name of some content: 32 hex characters in lower case."""
    return _STORAGE_ID.fullmatch(text) is not None


def content_bytes_max(limits: Limits) -> int:
    """Return how many bytes one content may have: four times the limit of a text."""
    return LOG_ROOM_FACTOR * limits.text_bytes
