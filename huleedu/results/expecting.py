"""What is to be heard of a batch before results may call it finished."""

from collections.abc import Callable
from contextlib import suppress

from huleedu.core.errors import Unavailable
from huleedu.core.ports import Accepted, AcceptedActions
from huleedu.results.decide import NOTHING_ACCEPTED
from huleedu.results.stream import Expected

Expecting = Callable[[str, int], Expected]
"""Batch id, and the attempt that a caller asks about → what is expected of that batch."""


def expecting(accepted: AcceptedActions | None) -> Expecting:
    """Return what asks BOS where it is in this process (None: it is not), and the caller.

    Where the store of BOS cannot be read nothing can be accepted, and nothing is expected.
    """

    def of_batch(batch_id: str, attempt: int) -> Expected:
        async def expected() -> Accepted:
            known = NOTHING_ACCEPTED
            if accepted is not None:
                with suppress(Unavailable):
                    known = await accepted.of_batch(batch_id)
            return Accepted(attempt=max(attempt, known.attempt), is_cancelled=known.is_cancelled)

        return expected

    return of_batch
