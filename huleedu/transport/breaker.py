"""When most of what a group hears would become dead letters, the fault is hardly in the messages.

A wrong version, a missing table or a foreign sender gone astray would empty a topic into its dead
letters.  So a group stops instead, and says so, until someone has looked and restarted the process.
"""

from collections.abc import Sequence

from huleedu.core.errors import TooManyDeadLetters

WINDOW_MESSAGES = 100
"""Of as many messages, the last ones, more than half must be bad.  Before a group has seen as many
it is not judged, so at most 99 dead letters go out where nothing succeeds at all."""


class DeadLetterBreaker:
    """What became of the last messages of one group, as one process saw them.

    A restart begins with nothing seen.  ``check`` may be called from any thread.
    """

    def __init__(self, window_messages: int = WINDOW_MESSAGES) -> None:
        self._window_messages = window_messages
        self._recent: tuple[bool, ...] = ()  # True: set aside; replaced as a whole, never changed

    def check(self, aside: Sequence[bool], reason: Exception) -> None:
        """Return when messages may go the way that is meant for them: True, to be set aside.

        They are looked at in order, each with those before it.  Raises ``TooManyDeadLetters`` from
        ``reason`` when one that is to be set aside would be among too many.
        """
        seen = [*self._recent, *aside]
        first = max(len(self._recent), self._window_messages - 1)
        for index in range(first, len(seen)):
            if not seen[index]:
                continue
            window = seen[index + 1 - self._window_messages : index + 1]
            bad = sum(window)
            if 2 * bad > len(window):
                raise TooManyDeadLetters(
                    f"{bad} of its last {len(window)} messages would be dead letters, "
                    f"the last for {type(reason).__name__}: {reason}"
                ) from reason

    def note(self, aside: Sequence[bool]) -> None:
        """Remember what became of messages, once it is durable."""
        self._recent = (*self._recent, *aside)[-self._window_messages :]


class Tally:
    """What becomes of the messages of one attempt at a delivery, told to the group's breaker."""

    def __init__(self, breaker: DeadLetterBreaker | None = None) -> None:
        """Without a breaker it has one of its own, which nobody else asks."""
        self._breaker = breaker or DeadLetterBreaker()
        self._aside: Sequence[bool] | None = None

    def set_aside(self, aside: Sequence[bool], reason: Exception) -> None:
        """Ask, before it is done, whether these messages may be set aside (True) or handled.

        To be called in the transaction that does it, which must fail with ``TooManyDeadLetters``.
        """
        self._breaker.check(aside, reason)
        self._aside = aside

    def done(self, messages: int) -> None:
        """Note that the delivery of so many messages is done: handled, where nobody said else."""
        self._breaker.note([False] * messages if self._aside is None else self._aside)


def stop_told(group: str, topic: str, fault: Exception) -> str:
    """Return the sentence by which readiness and log tell that a group has stopped."""
    return (
        f"{group} stopped on {topic}: {fault}; correct the cause, look at the dead letters, "
        "and restart the process"
    )
