"""What can go wrong with one text, as part of the tree in :mod:`huleedu.core.errors`.

Both are the end of that text: the same text may well do the same again.  The checker itself
goes on with a new worker.
"""

from huleedu.core.enums import ErrorCode
from huleedu.core.errors import HuleEduError


class CheckFailed(HuleEduError):
    """A text could not be checked; the next one can."""

    code = ErrorCode.SPELLCHECK_SERVICE_ERROR
    exit_code = 1


class CheckerDied(CheckFailed):
    """The worker process ended while it checked this text."""


class CheckerTimedOut(CheckFailed):
    """The worker process did not finish this text in the time a text may take."""
