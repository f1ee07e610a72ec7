"""The one error tree.

::

    HuleEduError
    ├── Rejected            the sender is wrong; trying again changes nothing
    │   ├── MalformedMessage    bytes that are not the message they claim to be
    │   ├── NotFound            the thing asked for does not exist
    │   ├── Conflict            the thing's state does not allow it
    │   └── TooLarge            over a configured limit
    ├── Unavailable         the world is wrong for now; trying again may help
    │   ├── StoreUnavailable    disk full, read-only, or locked for too long
    │   ├── BrokerUnavailable   the outcome of a publish is unknown
    │   └── PeerUnavailable     another role of ours does not answer
    ├── TooManyDeadLetters  most of what a group hears is refused; the group stops
    ├── Misconfigured       the operator is wrong; the program does not start
    └── TaskDied            a task that must run for ever ended; the program ends

Anything else that is raised is a bug of ours.  HTTP: 4xx, 503 with Retry-After, never starts, 500.
Command line: exit code 1, 75, 2, 70 (a dead task too).  Consumers: dead letter, retry with growing
pauses, a stop of the group, never starts, a few retries and then dead letter.
"""

from typing import ClassVar

from huleedu.core.enums import ErrorCode


class HuleEduError(Exception):
    """A failure that we can explain: the message says what was wrong, where, and what to do."""

    code: ClassVar[ErrorCode] = ErrorCode.UNKNOWN_ERROR
    exit_code: ClassVar[int] = 70

    def __init__(self, *message: object, retry_after_seconds: float | None = None) -> None:
        super().__init__(*message)
        self.retry_after_seconds = retry_after_seconds
        """When the same may be tried again; None: no promise.  Over HTTP it is Retry-After."""


class Rejected(HuleEduError):
    """What was asked or sent is wrong; the same again will be refused again."""

    code = ErrorCode.VALIDATION_ERROR
    exit_code = 1


class MalformedMessage(Rejected):
    """The bytes are not the message that their topic names."""


class NotFound(Rejected):
    """The thing asked for does not exist (here, or yet)."""

    code = ErrorCode.RESOURCE_NOT_FOUND


class Conflict(Rejected):
    """The state of the thing does not allow what was asked."""


class TooLarge(Rejected):
    """A configured limit was passed."""


class Unavailable(HuleEduError):
    """It failed for now; the same again may succeed."""

    code = ErrorCode.EXTERNAL_SERVICE_ERROR
    exit_code = 75


class StoreUnavailable(Unavailable):
    """The store could not write or read: disk full, read-only, or locked for too long."""


class BrokerUnavailable(Unavailable):
    """The transport did not take the message, or its outcome is unknown."""

    code = ErrorCode.KAFKA_PUBLISH_ERROR


class PeerUnavailable(Unavailable):
    """Another role of this deployment did not answer."""


class TooManyDeadLetters(HuleEduError):
    """Most of a group's messages would be set aside: it stops, until the process is restarted.

    Neither tried again nor a dead letter itself: a human must look.
    """


class Misconfigured(HuleEduError):
    """A setting, a file in config/ or the data directory is not usable: the program stops."""

    code = ErrorCode.CONFIGURATION_ERROR
    exit_code = 2


class TaskDied(HuleEduError):
    """A background task ended though it must run for as long as the process does."""
