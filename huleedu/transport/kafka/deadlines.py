"""Every call to the library under a deadline of ours, its errors made our own.

The library itself waits without end for a broker that is away: in sends, commits and starts alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from huleedu.core.errors import BrokerUnavailable


class Fenced(BrokerUnavailable):
    """A newer producer has the same transactional id, or the transaction took too long.

    The two are not to be told apart; this producer is at its end.
    """


@contextmanager
def within(seconds: float, activity: str) -> Iterator[None]:
    """Bound what is awaited inside; ``activity`` is what the error calls it.

    Raises ``Fenced``, or ``BrokerUnavailable`` for every other failure and when the time is over:
    then the outcome is unknown, and what was begun may still happen.
    """
    try:
        with anyio.fail_after(seconds):
            yield
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise Fenced(f"{activity}: fenced off by a newer producer, or too slow") from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"{activity}: the broker did not answer in time") from error
    except KafkaError as error:
        raise BrokerUnavailable(f"{activity}: {type(error).__name__}: {error}") from error
    except AssertionError as error:  # how the library says that its own tasks have failed
        raise BrokerUnavailable(f"{activity}: the producer is no longer usable") from error
