"""Partitions of topics: where they are now, and how requests list them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from huleedu.core.errors import BrokerUnavailable


async def partitions_by_leader(
    client: AIOKafkaClient, topics: Collection[str]
) -> Mapping[int, Sequence[TopicPartition]]:
    """Return all partitions of these topics by the node that leads them; topics gone are left out.

    Raises ``BrokerUnavailable`` when a partition has no leader now, and the library's errors.
    """
    found: dict[int, list[TopicPartition]] = defaultdict(list)
    if not topics:
        return found
    request = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
    answer = await client.send(client.get_random_node(), request)
    for code, topic, _, partitions in answer.topics:
        error = for_code(code)
        if error is UnknownTopicOrPartitionError:
            continue
        leaders = [(number, leader) for _, number, leader, *_ in partitions]
        if error is not NoError or any(leader < 0 for _, leader in leaders):
            raise BrokerUnavailable(f"a partition of {topic} has no leader now")
        for number, leader in leaders:
            found[leader].append(TopicPartition(topic, number))
    return found


def numbers_by_topic(partitions: Iterable[TopicPartition]) -> Mapping[str, Sequence[int]]:
    """Return the numbers of these partitions under their topics, as the protocol groups them."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        numbers[topic].append(number)
    return numbers
