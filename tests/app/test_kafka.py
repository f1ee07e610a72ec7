"""Who a process is on the broker, and the topics that come first; nobody answers here."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from huleedu.app.kafka import instance_id, kafka_transport, make_topics
from huleedu.app.roles import serve_roles
from huleedu.core.errors import BrokerUnavailable, Misconfigured
from huleedu.core.platform import Platform
from huleedu.core.roles import ROLES, Role
from huleedu.core.settings import ElsSettings, KafkaSettings, Settings
from huleedu.transport.kafka.consumer_times import ConsumerTimes

pytestmark = pytest.mark.anyio
NOBODY = "127.0.0.1:1"


def roles(*names: str) -> Sequence[Role]:
    return [ROLES[name] for name in names]


def is_empty(directory: Path) -> bool:
    return not list(directory.iterdir())


async def test_static_members_are_told_apart_and_known_again(tmp_path: Path) -> None:
    """Replicas, roles and deployments differ; a restart is the same member."""
    static = KafkaSettings(static_membership=True)
    here = Settings(data_dir=tmp_path / "here", kafka=static)
    there = Settings(data_dir=tmp_path / "there", kafka=static)
    async with AsyncExitStack() as first, AsyncExitStack() as rest:
        one = instance_id(here, roles("els-worker"), first)
        others = [
            instance_id(here, roles("els-worker"), rest),
            instance_id(here, roles("els-worker", "els-api"), rest),
            instance_id(here, roles("bos-worker"), rest),
            instance_id(there, roles("els-worker"), rest),
        ]
        await first.aclose()
        again = instance_id(here, roles("els-worker"), rest)

    names = [name for name in (one, *others) if name is not None]
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) for name in names)
    assert again == one


async def test_members_are_not_static_unless_asked_for(tmp_path: Path) -> None:
    """Then nothing is kept on the disk either: a spell-checker needs no data directory."""
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=tmp_path / "data")

        assert instance_id(settings, roles("spellcheck-worker"), stack) is None
        assert is_empty(tmp_path)


async def test_roles_of_one_process_share_one_broker(tmp_path: Path) -> None:
    """Modules may name brokers of their own, but not two of them in one process."""
    settings = Settings(
        data_dir=tmp_path, els=ElsSettings(kafka_bootstrap_servers="other.example:9092")
    )
    async with AsyncExitStack() as stack:
        kafka_transport(settings, roles("els-worker", "els-api"), Platform(), stack)
        with pytest.raises(Misconfigured, match=r"other\.example:9092"):
            kafka_transport(settings, roles("els-worker", "bos-worker"), Platform(), stack)


async def test_the_times_of_consumers_are_settings(tmp_path: Path) -> None:
    """They go to the consumers as given; times that contradict stop the program."""
    given = KafkaSettings(
        session_timeout_seconds=6, max_poll_interval_seconds=60, watchdog_seconds=5
    )

    assert ConsumerTimes.from_settings(given) == ConsumerTimes(6, 60, 5)
    assert ConsumerTimes.from_settings(KafkaSettings()) == ConsumerTimes()
    wrong = Settings(data_dir=tmp_path, kafka=KafkaSettings(max_poll_interval_seconds=9))
    async with AsyncExitStack() as stack:
        with pytest.raises(Misconfigured, match="shorter than"):
            kafka_transport(wrong, roles("els-worker"), Platform(), stack)


async def test_topics_are_not_made_without_a_broker(tmp_path: Path) -> None:
    """After some attempts the role says that it may be tried again, and starts nothing else."""
    settings = Settings(
        data_dir=tmp_path / "data",
        kafka_bootstrap_servers=NOBODY,
        kafka=KafkaSettings(connect_max_retries=1, connect_retry_delay=0.05),
    )

    with pytest.raises(BrokerUnavailable, match="tried 2 times"):
        await serve_roles(settings, ["topics", "bos"], anyio.Event())

    assert is_empty(tmp_path)


async def test_making_topics_ends_when_told_to(tmp_path: Path) -> None:
    """A stop does not wait for a broker that may never come."""
    settings = Settings(
        kafka_bootstrap_servers=NOBODY, kafka=KafkaSettings(connect_retry_delay=3_600.0)
    )
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make_topics, settings, stop)
        await anyio.wait_all_tasks_blocked()
        stop.set()
