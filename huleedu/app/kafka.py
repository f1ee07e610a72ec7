"""Kafka as the transport of a process: who it is there, and the topics that must be there first."""

import hashlib
import re
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack

import anyio

from huleedu.core.errors import BrokerUnavailable, Misconfigured
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.roles import Role
from huleedu.core.settings import Settings
from huleedu.store.directory import numbered
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.consumer_times import ConsumerTimes
from huleedu.transport.kafka.topics import Outcome, bootstrap
from huleedu.transport.kafka.transport import KafkaTransport
from huleedu.transport.protocol import Transport

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")

_logger = create_service_logger("app")


def kafka_transport(
    settings: Settings, roles: Sequence[Role], platform: Platform, stack: AsyncExitStack
) -> Transport:
    """Return the transport of a process that runs these roles.

    With ``kafka.static_membership`` it keeps a number of its own in the data directory, which
    ``stack`` gives back.  Raises ``Misconfigured``, ``StoreUnavailable``.
    """
    connection = _connection(settings, roles)
    times = ConsumerTimes.from_settings(settings.kafka)
    return KafkaTransport(connection, platform, instance_id(settings, roles, stack), times)


def instance_id(settings: Settings, roles: Sequence[Role], stack: AsyncExitStack) -> str | None:
    """Return what tells this process from every other, and is the same after a restart.

    None: members are not static.  The host tells machines and containers apart, the directory two
    deployments on one host, the number replicas.
    """
    if not settings.kafka.static_membership:
        return None
    name = _process_name(roles)
    number = stack.enter_context(numbered(settings.data_dir, name))
    directory = hashlib.blake2b(str(settings.data_dir.resolve()).encode(), digest_size=4)
    whole = f"{socket.gethostname()}-{directory.hexdigest()}-{name}-{number}"
    return _NOT_IN_A_NAME.sub("_", whole)


async def make_topics(settings: Settings, stop: anyio.Event) -> None:
    """Make every topic of the contract that is not there yet; returns early when ``stop`` is set.

    Raises ``BrokerUnavailable`` when the broker does not answer for long, ``Misconfigured`` when
    it refuses or a topic has too few partitions.
    """
    connection = KafkaConnection.from_settings(
        settings.kafka, settings.kafka_bootstrap_servers, "topics"
    )
    faults: list[Exception] = []

    async def leave_on_stop(tasks: anyio.abc.TaskGroup) -> None:
        await stop.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave_on_stop, tasks)
        try:
            await bootstrap(connection, settings.kafka, _Logged(), Platform().clock)
        except (Misconfigured, BrokerUnavailable) as fault:
            faults.append(fault)
        tasks.cancel_scope.cancel()
    if faults:
        raise faults[0]


class _Logged:
    """Tells how the topics come about in the log (see ``transport.kafka.topics.Report``)."""

    def topic(self, name: str, outcome: Outcome) -> None:
        _logger.info("topic_made", topic=name, outcome=outcome)

    def waiting(self, why: str, seconds: float) -> None:
        _logger.warning("topics_wait_for_the_broker", reason=why, again_in_seconds=seconds)


def _connection(settings: Settings, roles: Sequence[Role]) -> KafkaConnection:
    servers = {
        getattr(settings, role.module).kafka_bootstrap_servers or settings.kafka_bootstrap_servers
        for role in roles
        if role.module
    }
    if len(servers) != 1:
        raise Misconfigured(
            "the roles of one process share one connection, but their KAFKA_BOOTSTRAP_SERVERS "
            f"differ: {' and '.join(sorted(servers))}"
        )
    return KafkaConnection.from_settings(settings.kafka, servers.pop(), _process_name(roles))


def _process_name(roles: Sequence[Role]) -> str:
    return ".".join(role.name for role in roles)
