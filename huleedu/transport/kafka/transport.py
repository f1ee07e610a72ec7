"""Messages over Kafka (see ``protocol.Transport``)."""

import os
import socket
from collections.abc import Sequence

import anyio

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.consumer_times import DEFAULT_TIMES, ConsumerTimes
from huleedu.transport.kafka.group import Group
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.kafka.producer import IdempotentPublisher
from huleedu.transport.kafka.relay import KafkaRelay
from huleedu.transport.kafka.stateless_group import StatelessGroup
from huleedu.transport.kafka.stored_group import StoredGroup
from huleedu.transport.protocol import Subscription


class KafkaTransport:
    """Carries messages between processes.

    A group whose consumer has a store keeps its positions there and is given whole fetches; one
    without commits its offsets after it has published.  ``instance_id`` makes a member static: a
    restart within the session timeout takes its partitions back at once; it must be unique among
    the processes of the deployment.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        platform: Platform,
        instance_id: str | None = None,
        times: ConsumerTimes = DEFAULT_TIMES,
    ) -> None:
        self._connection = connection
        self._platform = platform
        self._instance_id = instance_id
        self._times = times
        self._groups: dict[str, Group] = {}
        self._relays: list[KafkaRelay] = []
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{platform.ids.new()}"
        self._publisher = IdempotentPublisher(connection, platform)

    def subscribe(self, subscription: Subscription) -> None:
        """Attach a group.  Raises ``ValueError`` when it is attached already."""
        if subscription.group in self._groups:
            raise ValueError(f"group {subscription.group} listens already")
        member = None if self._instance_id is None else f"{self._instance_id}-{subscription.group}"
        membership = Membership(
            self._connection, subscription.group, subscription.topics, member, self._times
        )
        also = (self._platform, self._times.watchdog_seconds)
        self._groups[subscription.group] = (
            StatelessGroup(membership, subscription, *also)
            if subscription.store is None
            else StoredGroup(membership, subscription, subscription.store, *also)
        )

    def relay(self, database: Database) -> None:
        """Publish what this store's outbox holds, each message exactly once."""
        self._relays.append(
            KafkaRelay(database, self._connection, self._platform, holder=self._holder)
        )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once every message is acknowledged by the broker.

        Raises ``BrokerUnavailable`` when the outcome is unknown.
        """
        await self._publisher.publish(messages)

    async def run(self) -> None:
        """Deliver and relay until cancelled; what is being handled then is finished first."""
        try:
            async with anyio.create_task_group() as tasks:
                for group in self._groups.values():
                    tasks.start_soon(group.run)
                for relay in self._relays:
                    tasks.start_soon(relay.run)
        finally:
            with anyio.CancelScope(shield=True):
                await self._publisher.close()

    def troubles(self) -> Sequence[str]:
        """Return what keeps messages from flowing."""
        return [
            *self._publisher.troubles(),
            *(trouble for group in self._groups.values() for trouble in group.troubles()),
            *(trouble for relay in self._relays for trouble in relay.troubles()),
        ]

    def held_up(self) -> Sequence[str]:
        """Return which single messages wait to be tried again, while all others flow."""
        return [told for group in self._groups.values() for told in group.held_up()]

    def hears(self, group: str) -> bool:
        """Tell whether messages reach this group, whatever troubles others have."""
        return not self._groups[group].troubles()
