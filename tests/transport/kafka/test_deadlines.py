"""Calls to the library end in time, and their errors are ours."""

import anyio
import pytest
from aiokafka.errors import InvalidProducerEpoch, KafkaConnectionError, ProducerFenced

from huleedu.core.errors import BrokerUnavailable
from huleedu.transport.kafka.deadlines import Fenced, within

pytestmark = pytest.mark.anyio


async def test_what_takes_too_long_has_an_unknown_outcome() -> None:
    """A call that does not end is given up, and the error says which one."""
    with (
        pytest.raises(BrokerUnavailable, match="committing: the broker did not answer"),
        within(0.01, "committing"),
    ):
        await anyio.sleep_forever()


@pytest.mark.parametrize("error", [ProducerFenced(), InvalidProducerEpoch()])
async def test_both_ways_to_be_fenced_are_one(error: Exception) -> None:
    """The library's two errors mean the same: a newer producer, or too slow."""
    with pytest.raises(Fenced) as told, within(1, "sending"):
        raise error

    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), AssertionError("state")])
async def test_every_other_error_of_the_library_may_heal(error: Exception) -> None:
    """Whatever else the library raises is trouble with the broker, with its cause."""
    with pytest.raises(BrokerUnavailable, match=r"^sending: ") as told, within(1, "sending"):
        raise error

    assert not isinstance(told.value, Fenced)
    assert told.value.__cause__ is error
