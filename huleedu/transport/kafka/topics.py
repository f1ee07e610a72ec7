"""Making the topics of a deployment: every one of the contract, and its dead letters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from huleedu.core.clock import Clock
from huleedu.core.errors import BrokerUnavailable, Misconfigured
from huleedu.core.settings import KafkaSettings
from huleedu.core.topics import TOPICS, dead_letter_topic
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    administration,
    partition_counts,
)
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.retention import (
    how_to_keep_longer,
    kept_too_short,
    retentions,
    topic_configuration,
)

Outcome = Literal["created", "already exists"]

_SEEN_SECONDS = 10.0  # how long a new topic may stay unknown to the broker that we ask
_LOOK_AGAIN_SECONDS = 0.1


class Report(Protocol):
    """Who is told how it goes."""

    def topic(self, name: str, outcome: Outcome) -> None:
        """A topic is there; called once for each."""
        ...

    def waiting(self, why: str, seconds: float) -> None:
        """It failed for now, and is tried again after so many seconds."""
        ...


def with_dead_letters(names: Iterable[str]) -> list[str]:
    """Return each topic and, after it, the topic of its dead letters."""
    return [name for topic in names for name in (topic, dead_letter_topic(topic))]


def contract_topics() -> list[str]:
    """Return every topic of this deployment, in the contract's order."""
    return with_dead_letters(topic.name for topic in TOPICS.values())


async def bootstrap(
    connection: KafkaConnection,
    settings: KafkaSettings,
    report: Report,
    clock: Clock,
    topics: Collection[str] | None = None,
) -> None:
    """Make the topics (None: those of the contract) that are not there yet.

    May run any number of times, and several times at once.  A broker that does not answer is tried
    again ``connect_max_retries`` times, ``connect_retry_delay`` seconds apart; then it raises
    ``BrokerUnavailable``.  Raises ``Misconfigured`` when the broker refuses to make a topic, and
    when topics have fewer partitions than ``default_partitions`` or keep dead letters for less
    than ``dead_letter_retention_days``: all the others are made, and each of these is named.
    """
    names = contract_topics() if topics is None else topics
    told: set[str] = set()
    for attempt in range(settings.connect_max_retries + 1):
        try:
            async with administration(connection) as admin:
                untold = [name for name in names if name not in told]
                for name, outcome in await _create(admin, settings, untold):
                    report.topic(name, outcome)
                    told.add(name)
                counts = await _counts_of_all(admin, names, clock)
                kept = await retentions(admin, list(names))
            break
        except BrokerUnavailable as error:
            if attempt == settings.connect_max_retries:
                raise BrokerUnavailable(f"{error} (tried {attempt + 1} times)") from error
            report.waiting(str(error), settings.connect_retry_delay)
            await clock.sleep(settings.connect_retry_delay)
    complaints = [
        *_too_few_partitions(counts, names, settings.default_partitions),
        *_kept_too_short(kept, settings),
    ]
    if complaints:
        raise Misconfigured("\n".join(complaints))


async def _create(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, names: Collection[str]
) -> list[tuple[str, Outcome]]:
    """Return what became of each topic.

    Raises ``BrokerUnavailable`` when one could not be made for now, ``Misconfigured`` when the
    broker will not make one.
    """
    if not names:
        return []
    wanted = [
        NewTopic(
            name,
            settings.default_partitions,
            settings.default_replication_factor,
            topic_configs=topic_configuration(name, settings),
        )
        for name in names
    ]
    with within(CALL_SECONDS, "creating topics"):
        answer = await admin.create_topics(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
    outcomes: list[tuple[str, Outcome]] = []
    refused = []
    for name, code, *message in answer.topic_errors:
        kind: type[Any] = for_code(code)
        if kind is NoError:
            outcomes.append((name, "created"))
        elif kind is TopicAlreadyExistsError:
            outcomes.append((name, "already exists"))
        elif kind.retriable:
            raise BrokerUnavailable(f"creating topics: {name}: {kind.__name__}")
        else:
            refused.append(f"{name}: {(message or [None])[0] or kind.__name__}")
    if refused:
        raise Misconfigured("the broker refuses to make a topic\n" + "\n".join(refused))
    return outcomes


async def _counts_of_all(
    admin: AIOKafkaAdminClient, names: Collection[str], clock: Clock
) -> Mapping[str, int]:
    """Return the partitions of each topic, once the broker that is asked knows every one."""
    deadline = clock.monotonic() + _SEEN_SECONDS
    while True:
        counts = await partition_counts(admin)
        unseen = [name for name in names if not counts.get(name)]
        if not unseen:
            return counts
        if clock.monotonic() > deadline:
            raise BrokerUnavailable(f"made, but not to be seen: {', '.join(unseen)}")
        await clock.sleep(_LOOK_AGAIN_SECONDS)


def _too_few_partitions(
    counts: Mapping[str, int], names: Collection[str], wanted: int
) -> Sequence[str]:
    too_few = [
        f"topic {name} has {counts[name]}, configured are {wanted}"
        for name in names
        if counts[name] < wanted
    ]
    if not too_few:
        return ()
    # Not ours to mend: with more partitions a key moves to another one, past what is waiting.
    return (
        "topics with fewer partitions than KAFKA_DEFAULT_PARTITIONS",
        *too_few,
        "lower KAFKA_DEFAULT_PARTITIONS, or add partitions while no message is waiting",
    )


def _kept_too_short(kept: Mapping[str, int], settings: KafkaSettings) -> Sequence[str]:
    short = kept_too_short(kept, settings)
    if not short:
        return ()
    # Not ours to mend either: the library can only replace all settings of a topic at once.
    return (
        "dead letters that the broker deletes before KAFKA_DEAD_LETTER_RETENTION_DAYS",
        *short,
        how_to_keep_longer(settings),
    )
