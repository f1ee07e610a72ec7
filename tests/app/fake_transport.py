"""A transport that notes who attaches to it, and carries nothing."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import anyio

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.roles import Role
from huleedu.core.settings import Settings
from huleedu.store.database import Database
from huleedu.transport.protocol import Subscription, Transport


class FakeTransport:
    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.relayed: list[str] = []
        self.trouble: list[str] = []
        self.is_running = False

    def subscribe(self, subscription: Subscription) -> None:
        assert not self.is_running
        self.subscriptions.append(subscription)

    def relay(self, database: Database) -> None:
        assert not self.is_running
        self.relayed.append(database.path.name)

    async def publish(self, messages: Sequence[Message]) -> None:
        raise AssertionError("nothing is published here")

    async def run(self) -> None:
        self.is_running = True
        await anyio.sleep_forever()

    def troubles(self) -> Sequence[str]:
        return self.trouble

    def held_up(self) -> Sequence[str]:
        return ()

    def hears(self, group: str) -> bool:
        return not self.troubles()

    def connect(
        self, settings: Settings, roles: Sequence[Role], platform: Platform, stack: AsyncExitStack
    ) -> Transport:
        return self
