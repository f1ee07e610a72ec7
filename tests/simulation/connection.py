"""The way from a simulated process to the simulated broker, and the library's stand-ins on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import anyio

from huleedu.transport.kafka import membership, producing, transactions
from huleedu.transport.kafka.connection import KafkaConnection
from tests.simulation.broker import Broker
from tests.simulation.consumer import SimulatedConsumer, topic_ids
from tests.simulation.faults import Faults
from tests.simulation.producer import (
    SimulatedProducer,
    carry_out,
    hidden_from,
    recorded_ending,
)
from tests.simulation.replaced import replaced

if TYPE_CHECKING:
    from tests.simulation.process import Process

_AT_ONCE = 0.7
_SECONDS_MAX = 0.01


class Endpoint:
    """One process's way to the broker."""

    def __init__(self, process: "Process", broker: Broker, random: Random) -> None:
        self._process = process
        self.broker = broker
        self.random = random
        self.consumers: list[SimulatedConsumer] = []

    @property
    def faults(self) -> Faults:
        return self._process.world.faults

    def tell(self, what: str) -> None:
        """Note something in the history."""
        self._process.world.tell(self._process.name, what)

    async def round_trip(self) -> None:
        """Wait for the broker's answer."""
        drawn = self.random.random()
        if drawn < _AT_ONCE:
            await anyio.lowlevel.checkpoint()
        else:
            await anyio.sleep(drawn * _SECONDS_MAX)


class SimulatedConnection(KafkaConnection):
    """Where the broker is: here."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("simulated:0")
        object.__setattr__(self, "endpoint", endpoint)

    def client_options(self) -> dict[str, Any]:
        return {"simulated": self.__dict__["endpoint"]}


@contextmanager
def simulated_library() -> Iterator[None]:
    """Have the transport use the stand-ins of the client library inside of the block."""
    with (
        replaced(membership, "AIOKafkaConsumer", SimulatedConsumer),
        replaced(membership, "topic_ids", topic_ids),
        replaced(producing, "AIOKafkaProducer", SimulatedProducer),
        replaced(transactions, "recorded_ending", recorded_ending),
        replaced(transactions, "carry_out", carry_out),
        replaced(transactions, "hidden_from", hidden_from),
    ):
        yield
