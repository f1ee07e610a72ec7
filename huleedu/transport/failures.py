"""What becomes of a delivery that failed: pure rules, the same on every transport."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, auto
from random import Random

from huleedu.core.clock import to_text
from huleedu.core.errors import HuleEduError, Rejected, TooManyDeadLetters, Unavailable
from huleedu.core.message import Header, Message
from huleedu.core.topics import dead_letter_topic
from huleedu.transport import replays

BUG_ATTEMPTS_MAX = 5
PAUSE_FIRST_SECONDS = 0.1
PAUSE_MAX_SECONDS = 5.0
_CAUSE_CHARACTERS_MAX = 1_000
ERROR_MESSAGE = f"{replays.DEAD_LETTER_PREFIX}error-message"


class Verdict(Enum):
    """What to do with a delivery that failed."""

    AGAIN_LATER = auto()
    SET_ASIDE = auto()
    STOP = auto()
    """The whole group, until the process is restarted."""


def verdict(fault: Exception, messages: int, attempt: int) -> Verdict:
    """Return what to do after ``fault``.

    Several messages always come again, one by one, so that the one at fault is found.  A single
    one that is wrong in itself is set aside at once, a bug of ours after five attempts, and what
    may heal is tried for ever.  One dead letter too many stops the group.
    """
    if messages > 1 or isinstance(fault, Unavailable):
        return Verdict.AGAIN_LATER
    if isinstance(fault, TooManyDeadLetters):
        return Verdict.STOP
    if isinstance(fault, Rejected) or attempt >= BUG_ATTEMPTS_MAX:
        return Verdict.SET_ASIDE
    return Verdict.AGAIN_LATER


def pause_seconds(attempt: int, random: Random) -> float:
    """Return how long to wait before the next attempt: doubling, with jitter, at most 5 s."""
    return longest_pause_seconds(attempt) * (0.5 + random.random() / 2)


def longest_pause_seconds(attempt: int) -> float:
    """Return how long the pause before the next attempt may be at most."""
    longest: float = min(PAUSE_MAX_SECONDS, PAUSE_FIRST_SECONDS * 2.0 ** min(attempt - 1, 16))
    return longest


def dead_letter_cause(
    fault: Exception, message: Message, group: str, attempts: int, now: datetime
) -> dict[str, str]:
    """Return the headers that tell why a message became a dead letter, bounded in size."""
    code = fault.code.value if isinstance(fault, HuleEduError) else "UNKNOWN_ERROR"
    place = {"origin-partition": message.partition, "origin-offset": message.offset}
    return {
        **{f"{replays.DEAD_LETTER_PREFIX}{k}": str(v) for k, v in place.items() if v is not None},
        f"{replays.DEAD_LETTER_PREFIX}error-class": type(fault).__name__,
        f"{replays.DEAD_LETTER_PREFIX}error-code": code,
        ERROR_MESSAGE: str(fault)[:_CAUSE_CHARACTERS_MAX],
        **replays.history(message, attempts, now),
        replays.GROUP: group,
        replays.FAILED_AT: to_text(now),
        f"{replays.DEAD_LETTER_PREFIX}origin-topic": message.topic,
    }


def dead_letter(message: Message, cause: Mapping[str, str]) -> Message:
    """Return the dead letter of a message: key and value as received, the cause in headers."""
    return Message(
        dead_letter_topic(message.topic),
        message.key,
        message.value,
        {**message.headers, Header.EVENT_ID: message.event_id, **cause},
    )
