"""How long the broker keeps the records of a topic: dead letters until somebody has seen to them.

A broker deletes records after 7 days unless told otherwise.  A dead letter may wait longer for a
human, so its topic is given a time of its own.  It gets no bound in bytes: that would let a flood
push out letters that nobody has seen, and what bounds a flood is the circuit breaker.
"""

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, for_code

from huleedu.core.errors import BrokerUnavailable, Misconfigured
from huleedu.core.settings import KafkaSettings
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from huleedu.transport.kafka.administration import CALL_SECONDS
from huleedu.transport.kafka.deadlines import within

FOR_EVER = -1
"""Kafka's own word for it, in milliseconds."""
DAY_MS = 86_400_000
_RETENTION = "retention.ms"


def dead_letter_retention_ms(settings: KafkaSettings) -> int:
    """Return how long dead letters are to be kept."""
    days = settings.dead_letter_retention_days
    return days * DAY_MS if days else FOR_EVER


def topic_configuration(topic: str, settings: KafkaSettings) -> dict[str, str]:
    """Return what a new topic is given of Kafka's own settings; of the others, the broker's apply.

    Deleting by age is named too: a broker may compact by default, and would then keep only the
    last dead letter of each key.
    """
    if not topic.endswith(DEAD_LETTER_SUFFIX):
        return {}
    return {
        "cleanup.policy": "delete",
        _RETENTION: str(dead_letter_retention_ms(settings)),
        "retention.bytes": "-1",
    }


async def retentions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> Mapping[str, int]:
    """Return, for topics that are there, how many ms the broker keeps a record; -1: for ever.

    Raises ``BrokerUnavailable``; ``Misconfigured`` when the broker will not tell.
    """
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {_RETENTION: ""}) for name in topics]
    with within(CALL_SECONDS, "asking how long topics keep records"):
        answers = await admin.describe_configs(asked)
    told: dict[str, int] = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            kind = for_code(code)
            if kind is NoError:
                ((_, milliseconds, *_),) = entries
                told[name] = int(milliseconds)
            elif kind.retriable:
                raise BrokerUnavailable(f"the settings of topic {name}: {kind.__name__}")
            else:
                raise Misconfigured(
                    f"the broker does not tell the settings of topic {name}: "
                    f"{message or kind.__name__}"
                )
    return told


def kept_too_short(told: Mapping[str, int], settings: KafkaSettings) -> list[str]:
    """Return a sentence for each topic of dead letters that keeps them shorter than configured."""
    wanted = dead_letter_retention_ms(settings)
    return [
        f"topic {name} keeps dead letters for {_days(kept)}, configured are {_days(wanted)}"
        for name, kept in told.items()
        if name.endswith(DEAD_LETTER_SUFFIX)
        and kept != FOR_EVER
        and (wanted == FOR_EVER or kept < wanted)
    ]


def how_to_keep_longer(settings: KafkaSettings) -> str:
    """Say what the operator can do about it."""
    wanted = dead_letter_retention_ms(settings)
    return (
        "lower KAFKA_DEAD_LETTER_RETENTION_DAYS, or have each kept longer: kafka-configs.sh "
        f"--alter --entity-type topics --entity-name TOPIC --add-config {_RETENTION}={wanted}"
    )


def _days(milliseconds: int) -> str:
    return "no end of days" if milliseconds == FOR_EVER else f"{milliseconds / DAY_MS:g} days"
