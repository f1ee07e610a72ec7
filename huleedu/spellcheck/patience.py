"""How long a request that cannot be worked on is tried again: a pure rule."""

from huleedu.core.message import Header, Message

PHASE_TIMEOUT_SECONDS = 900.0
"""What counts where a request does not say."""
PART_OF_PHASE_TIMEOUT = 2 / 3
"""The rest is for the answer to arrive before ELS gives the essay up without a reason."""


def patience_seconds(request: Message) -> float:
    """Return for how long a request may be held up until it is answered as failed."""
    text = request.headers.get(Header.PHASE_TIMEOUT_SECONDS, "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = PHASE_TIMEOUT_SECONDS
    if not 0.0 < seconds < float("inf"):
        seconds = PHASE_TIMEOUT_SECONDS
    return seconds * PART_OF_PHASE_TIMEOUT


def is_over(request: Message, waited_seconds: float, longest_pause_seconds: float) -> bool:
    """Tell whether the next attempt, after a pause of at most so long, would be too late."""
    return waited_seconds + longest_pause_seconds > patience_seconds(request)
