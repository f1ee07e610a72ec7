"""A connection that is closed in the moment in which something is written to it."""

import asyncio

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from huleedu.transport.kafka.closing import has_stopped
from huleedu.transport.kafka.connection import KafkaConnection
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker


@pytest.mark.kafka
def test_a_write_to_a_closed_connection_is_an_error_of_the_connection(
    broker: KafkaBroker | ForeignBroker,
) -> None:
    """Under uvloop as well, where the library would not know the error."""

    async def main() -> None:
        options = KafkaConnection(broker.bootstrap_servers).client_options()
        client = AIOKafkaClient(**options)
        await client.bootstrap()
        try:
            connection = await client._get_conn(client.get_random_node())
            writer = connection._writer
            writer.transport.abort()

            async def is_connected() -> bool:
                return bool(connection.connected())

            await eventually(is_connected, lambda connected: not connected)
            connection._writer = writer  # as if the library had not noticed yet
            with pytest.raises(KafkaConnectionError, match="broken"):
                connection.send(MetadataRequest())
            assert not connection.connected()
        finally:
            await client.close()

    uvloop.run(main())


@pytest.mark.anyio
async def test_a_client_that_fails_while_it_closes_ends_nobody_else() -> None:
    """Whatever one of its tasks died of is logged, and it counts as not closed."""

    async def stop() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a task of the library's had died")

    assert not await has_stopped(stop(), 1.0)
