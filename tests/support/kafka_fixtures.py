"""A real broker as fixtures; a test that uses one bears the marker ``kafka``.

``broker`` is one for the whole run: ours, or what KAFKA_BOOTSTRAP_SERVERS names.  Tests keep apart
by the names of their topics and groups, which begin with ``topic_prefix``.
"""

import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import anyio
import pytest

from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.support.kafka_jars import KafkaMissing, must_be_complete
from tests.support.kafka_topics import create_topic, delete_topics

AnyBroker = KafkaBroker | ForeignBroker
NewTopic = Callable[..., Awaitable[str]]
TEST_SECONDS_MAX = 240.0
"""For a test that may start a broker, on a machine that does much else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a broker their own limit, unless they have one."""
    for item in items:
        if item.get_closest_marker("kafka") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS_MAX))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyBroker]:
    """A broker that answers at ``broker.bootstrap_servers``."""
    foreign = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if foreign:
        yield ForeignBroker(foreign)
        return
    directory = tmp_path_factory.mktemp("kafka")
    own = KafkaBroker(directory)
    missing = None
    try:
        own.start()
    except KafkaMissing as error:
        missing = str(error)
    if missing is not None:
        _without(missing)
    try:
        yield own
    finally:
        own.kill()
        shutil.rmtree(directory / "data")


@pytest.fixture
def own_broker(broker: AnyBroker) -> Iterator[KafkaBroker]:
    """The broker, to be killed, stopped or paused; the next test finds it running again."""
    if isinstance(broker, ForeignBroker):
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker that is not ours to kill or pause")
    yield broker
    if broker.is_running:
        broker.resume()
    else:
        broker.start()


@pytest.fixture
def topic_prefix() -> str:
    """What the names of this test's topics and groups begin with; nobody else's do."""
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
def new_topic(broker: AnyBroker, topic_prefix: str) -> Iterator[NewTopic]:
    """Make a topic: ``await new_topic("ready", partitions=3)`` returns its whole name.

    Keyword arguments are those of ``create_topic``.
    """
    made = []

    async def create(name: str, **kind: object) -> str:
        whole = topic_prefix + name
        await create_topic(broker.bootstrap_servers, whole, **kind)  # type: ignore[arg-type]
        made.append(whole)
        return whole

    yield create
    if isinstance(broker, ForeignBroker) and made:
        anyio.run(delete_topics, broker.bootstrap_servers, made)


def _without(what: str) -> NoReturn:
    """Go on without a broker on a developer's machine, never where everything is to be checked."""
    if must_be_complete():
        pytest.fail(f"no broker to test with: {what}", pytrace=False)
    pytest.skip(f"no broker to test with: {what}")
