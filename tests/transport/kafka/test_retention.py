"""How long dead letters are kept, on a real broker."""

import pytest

from huleedu.core.clock import SystemClock
from huleedu.core.errors import Misconfigured
from huleedu.core.settings import KafkaSettings
from huleedu.transport.kafka import lag
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.retention import DAY_MS, FOR_EVER, kept_too_short
from huleedu.transport.kafka.topics import Outcome, bootstrap, with_dead_letters
from tests.support.kafka_fixtures import AnyBroker, NewTopic

pytestmark = pytest.mark.anyio
kafka = pytest.mark.kafka

DEFAULT_DAYS = KafkaSettings().dead_letter_retention_days


class Told:
    """What became of each topic."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def topic(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome

    def waiting(self, why: str, seconds: float) -> None:
        raise AssertionError(why)


@pytest.fixture
def connection(broker: AnyBroker) -> KafkaConnection:
    return KafkaConnection(broker.bootstrap_servers)


@pytest.fixture
def names(topic_prefix: str) -> list[str]:
    return with_dead_letters([topic_prefix + "one", topic_prefix + "two"])


async def kept(connection: KafkaConnection, names: list[str]) -> dict[str, int | None]:
    states = await lag.list_topics(connection, [], SystemClock(), names)
    return {one.topic: one.retention_ms for one in states}


@kafka
@pytest.mark.parametrize(
    ("days", "milliseconds"), [(DEFAULT_DAYS, DEFAULT_DAYS * DAY_MS), (30, 30 * DAY_MS), (0, -1)]
)
async def test_new_dead_letters_are_kept_as_configured(
    connection: KafkaConnection, names: list[str], days: int, milliseconds: int
) -> None:
    """Those of a year unless told otherwise, 0 days for ever; other topics as the broker has it."""
    settings = KafkaSettings(dead_letter_retention_days=days)
    assert await kept(connection, names) == dict.fromkeys(names)
    await bootstrap(connection, settings, Told(), SystemClock(), names)

    found = await kept(connection, names)
    assert [found[name] for name in names if name.endswith(".dlq")] == [milliseconds] * 2
    assert {found[name] for name in names if not name.endswith(".dlq")} == {7 * DAY_MS}


@kafka
async def test_dead_letters_that_would_vanish_are_told(
    connection: KafkaConnection, names: list[str], new_topic: NewTopic, topic_prefix: str
) -> None:
    """A topic that was made by other means keeps them for a week: it is named with both numbers
    and the way out, once everything else is made.  One that keeps them longer is fine."""
    short, long = names[1], names[3]
    await new_topic(short.removeprefix(topic_prefix))
    for_ever = {"retention.ms": str(FOR_EVER)}
    await new_topic(long.removeprefix(topic_prefix), configuration=for_ever)
    told = Told()

    with pytest.raises(Misconfigured) as complaint:
        await bootstrap(connection, KafkaSettings(), told, SystemClock(), names)

    said = str(complaint.value)
    assert f"topic {short} keeps dead letters for 7 days, configured are 365 days" in said
    assert f"retention.ms={365 * DAY_MS}" in said
    assert long not in said
    assert told.outcomes == {
        names[0]: "created",
        short: "already exists",
        names[2]: "created",
        long: "already exists",
    }


@pytest.mark.parametrize(
    ("kept_ms", "days", "is_short"),
    [
        (7 * DAY_MS, 365, True),
        (365 * DAY_MS - 1, 365, True),
        (365 * DAY_MS, 365, False),
        (366 * DAY_MS, 365, False),
        (FOR_EVER, 365, False),
        (36_500 * DAY_MS, 0, True),
        (FOR_EVER, 0, False),
    ],
)
def test_shorter_than_configured_is_too_short(kept_ms: int, days: int, is_short: bool) -> None:
    """For ever is longer than any number of days; other topics than dead letters do not matter."""
    settings = KafkaSettings(dead_letter_retention_days=days)

    assert bool(kept_too_short({"t.dlq": kept_ms}, settings)) is is_short
    assert kept_too_short({"t": kept_ms}, settings) == []
