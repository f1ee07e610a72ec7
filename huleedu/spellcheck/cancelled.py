"""Batches that were cancelled: what is requested of them need not be checked."""

from huleedu.core.clock import Clock
from huleedu.core.errors import Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.ports import Cancellations

FRESH_SECONDS = 1.0
"""How long a batch counts as not cancelled before ELS is asked again."""
PAUSE_SECONDS = 30.0
"""How long ELS is not asked after it could not answer; everything is checked meanwhile."""
BATCHES_MAX = 1_000
"""Batches of which an answer is remembered."""

_logger = create_service_logger("spellcheck")


class CancelledBatches:
    """Asks ELS whether batches are cancelled, once a second each at most."""

    def __init__(self, cancellations: Cancellations, clock: Clock) -> None:
        self._cancellations = cancellations
        self._clock = clock
        self._fresh_until: dict[str, float] = {}
        """Batch id → until when its answer holds; the least recently answered first."""
        self._asked_from = float("-inf")

    async def has(self, batch_id: str) -> bool:
        """Tell whether ELS says that a batch is cancelled; False where it cannot be asked."""
        now = self._clock.monotonic()
        if self._fresh_until.get(batch_id, now) > now:
            return self._fresh_until[batch_id] == float("inf")
        if now < self._asked_from:
            return False
        try:
            is_cancelled = await self._cancellations.is_cancelled(batch_id)
        except Unavailable as fault:
            _logger.warning("cancellations_unknown", batch_id=batch_id, error=str(fault))
            self._asked_from = now + PAUSE_SECONDS
            return False
        self._fresh_until.pop(batch_id, None)
        # A batch that was cancelled stays so.
        self._fresh_until[batch_id] = float("inf") if is_cancelled else now + FRESH_SECONDS
        if len(self._fresh_until) > BATCHES_MAX:
            del self._fresh_until[next(iter(self._fresh_until))]
        return is_cancelled
