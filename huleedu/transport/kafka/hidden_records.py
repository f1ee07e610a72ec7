"""Whether a read_committed reader gets to the end of what was written.

It reads up to the first record of a transaction that its partition has not seen end, and waits
there: for milliseconds as a rule, for as long as the producer's own limit where one has died, and
without end where the marker of an end was lost (``undecided``).
"""

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.offset import OffsetRequest

from huleedu.transport.kafka.partitions import numbers_by_topic, partitions_by_leader

_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1
_NO_REPLICA = -1
_END = -1


async def hidden_from(
    producer: AIOKafkaProducer, topics: Collection[str]
) -> Mapping[TopicPartition, int]:
    """Return the partitions whose last records are hidden now, and the offset of the first hidden.

    To be called under a deadline; raises ``BrokerUnavailable`` or the library's errors.
    """
    client = producer.client
    hidden: dict[TopicPartition, int] = {}
    for leader, partitions in (await partitions_by_leader(client, topics)).items():
        # In this order: what is written in between makes nothing look hidden.
        ends = await _ends(client, leader, partitions, _READ_UNCOMMITTED)
        shown = await _ends(client, leader, partitions, _READ_COMMITTED)
        hidden |= {
            partition: shown[partition] for partition in ends if shown[partition] < ends[partition]
        }
    return hidden


async def _ends(
    client: AIOKafkaClient, leader: int, partitions: Collection[TopicPartition], isolation: int
) -> Mapping[TopicPartition, int]:
    wanted = [
        (topic, [(number, _END) for number in numbers])
        for topic, numbers in numbers_by_topic(partitions).items()
    ]
    request = OffsetRequest(_NO_REPLICA, isolation, wanted)
    answer: Any = await client.send(leader, request)
    ends: dict[TopicPartition, int] = {}
    for topic, told in answer.topics:
        for number, code, _, offset in told:
            if (error := for_code(code)) is not NoError:
                raise error()
            ends[TopicPartition(topic, number)] = offset
    return ends
