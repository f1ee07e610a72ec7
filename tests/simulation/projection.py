"""What results is meant to have heard, in order: what its projection is held against."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from huleedu.core.enums import EssayStatus
from huleedu.core.message import Message
from huleedu.core.messages import SpellcheckResultDataV1
from huleedu.results import handlers as results_handlers
from huleedu.transport.consumer import hear
from huleedu.transport.kafka.membership import message_of

if TYPE_CHECKING:
    from tests.simulation.world import World


def said_to_results(world: "World") -> Iterator[Message]:
    """Yield the messages of all topics that results listens to."""
    wanted = set(results_handlers.HEARING.topics)
    if world.broker is not None:
        for partition, records in world.broker.all_visible().items():
            if partition.topic in wanted:
                messages = map(message_of, records)
                yield from (one for one in messages if one.event_id not in world.poison)
        return
    yield from (one.message for one in world.log.said if one.message.topic in wanted)
    yield from _answers(world)


def _answers(world: "World") -> Iterator[Message]:
    """Yield each answer of a checker once.

    A checker that died may have answered before, and differently, under the same event id: then it
    is the one that was heard first which counts, and the store tells which.
    """
    kept = {
        (event_id, bool(is_success))
        for event_id, is_success in world.reader("results").execute(
            "SELECT event_id, is_success FROM essay_result"
        )
    }
    told: dict[str, list[Message]] = {}
    for message in world.log.published:
        told.setdefault(message.event_id, []).append(message)
    for event_id, versions in told.items():
        fitting = [one for one in versions if (event_id, _is_success(one)) in kept]
        yield (fitting or versions)[0]


def _is_success(message: Message) -> bool:
    data = hear(message).data
    assert isinstance(data, SpellcheckResultDataV1)
    return data.status is EssayStatus.SPELLCHECKED_SUCCESS
