"""Giving a dead letter back to the group that set it aside: pure rules, the same everywhere.

A replay has the key and the value byte for byte and the headers that the message came with, except
its event id: the group noted the old one as handled when it set the message aside.  The new one
follows from the dead letter and from whom the replay is for.  So a repeat of the same replay is
recognised, and a replay to every group reaches them although one to a single group came before:
all groups have noted that one's id.  What a replay carries of its history is four headers of
bounded size, however often it fails again.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from huleedu.core.clock import from_text, to_text
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Header, Message
from huleedu.core.topics import DEAD_LETTER_SUFFIX

DEAD_LETTER_PREFIX = "dead-letter-"
GROUP = f"{DEAD_LETTER_PREFIX}group"
ATTEMPTS = f"{DEAD_LETTER_PREFIX}attempts"
REPLAYS = f"{DEAD_LETTER_PREFIX}replays"
FIRST_FAILED_AT = f"{DEAD_LETTER_PREFIX}first-failed-at"
FAILED_AT = f"{DEAD_LETTER_PREFIX}failed-at"
CUT_FROM_BYTES = f"{DEAD_LETTER_PREFIX}cut-from-bytes"

_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_COUNT_MAX = 999_999_999


def replayed(letter: Message, *, to_everyone: bool = False) -> Message:
    """Return what is published to the topic that the dead letter came from.

    ``to_everyone``: every group is to handle it, not only the one that had set it aside.  The
    letter is one of which :func:`why_not` says nothing.
    """
    own = {k: v for k, v in letter.headers.items() if not k.startswith(DEAD_LETTER_PREFIX)}
    group = audience(letter, to_everyone=to_everyone)
    again = {
        str(Header.EVENT_ID): str(_replay_id(letter, group)),
        REPLAYS: str(min(replays_of(letter.headers) + 1, _COUNT_MAX)),
        ATTEMPTS: str(attempts_of(letter.headers)),
    }
    if group is not None:
        again[GROUP] = group
    first = first_failed_at(letter.headers)
    if first is not None:
        again[FIRST_FAILED_AT] = first
    return Message(origin_topic(letter), letter.key, letter.value, own | again)


def audience(letter: Message, *, to_everyone: bool) -> str | None:
    """Return the group that a replay is for; None: every group.

    A dead letter that names no group is replayed to every group in any case.
    """
    return None if to_everyone else letter.headers.get(GROUP)


def why_not(letter: Message) -> str | None:
    """Return why a dead letter cannot be replayed; None: it can be."""
    if not letter.topic.endswith(DEAD_LETTER_SUFFIX):
        return f"{letter.topic} is no topic of dead letters"
    cut_from = letter.headers.get(CUT_FROM_BYTES)
    if cut_from is not None:
        return f"only its first {len(letter.value):,} bytes of {cut_from[:20]} are kept"
    return None


def is_for(message: Message, group: str) -> bool:
    """Tell whether a group is to handle a message.

    A replay is for the group that had set it aside alone: to the others it is old, and what they
    heard since may have overtaken it.
    """
    return REPLAYS not in message.headers or message.headers.get(GROUP, group) == group


def history(message: Message, attempts: int, now: datetime) -> Mapping[str, str]:
    """Return the headers that keep, in a dead letter, how often and since when it fails."""
    earlier = attempts_of(message.headers) if REPLAYS in message.headers else 0
    return {
        ATTEMPTS: str(min(earlier + attempts, _COUNT_MAX)),
        FIRST_FAILED_AT: first_failed_at(message.headers) or to_text(now),
    }


def origin_topic(letter: Message) -> str:
    """Return the topic on which the message failed."""
    return letter.topic.removesuffix(DEAD_LETTER_SUFFIX)


def attempts_of(headers: Mapping[str, str]) -> int:
    """Return how often handling was tried, over all replays; 0 when the headers do not say."""
    return _count(headers.get(ATTEMPTS))


def replays_of(headers: Mapping[str, str]) -> int:
    """Return how often the message was replayed."""
    return _count(headers.get(REPLAYS))


def first_failed_at(headers: Mapping[str, str]) -> str | None:
    """Return when the message failed first, None when the headers do not say."""
    for name in (FIRST_FAILED_AT, FAILED_AT):
        moment = moment_of(headers.get(name))
        if moment is not None:
            return to_text(moment)
    return None


def moment_of(text: str | None) -> datetime | None:
    """Return the moment that a header names; None for none, and for what we did not write."""
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None


def _replay_id(letter: Message, group: str | None) -> UUID:
    """Return the event id of a replay of this letter that is for ``group``."""
    own = letter.headers.get(GROUP)
    everyone = [] if group == own else ["everyone"]
    return derived_event_id("replay", letter.event_id, own or "", *everyone)


def _count(text: str | None) -> int:
    # Whoever sends may write any header, and a header must not fail what handles failures.
    return int(text) if text is not None and _COUNT.fullmatch(text) else 0
