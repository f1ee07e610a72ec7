"""One process of the simulated deployment: started, killed, stopped, frozen."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from huleedu.app.modules import attach, open_stores
from huleedu.bos.acting import BatchActions
from huleedu.bos.actions import Action
from huleedu.bos.answers import answered_before
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.idempotency import Answer, KeyedRequest
from huleedu.bos.registrar import BatchRegistrar
from huleedu.core.background import BackgroundTasks
from huleedu.core.errors import Unavailable
from huleedu.core.ids import StorageId
from huleedu.core.ports import EssayReferences
from huleedu.core.roles import ROLES, Role
from huleedu.els import LocalReferences
from huleedu.files.intake import Intake
from huleedu.store.database import Database
from huleedu.store.housekeeping import keep_house
from huleedu.transport.dead_letters import (
    DEAD_LETTER_MIGRATIONS,
    STORE_NAME,
    dead_letter_chores,
)
from huleedu.transport.kafka.transport import KafkaTransport
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Consumer, Transport
from tests.simulation.deliveries import ObservedTransport, UnreliableConsumer
from tests.simulation.faults import Fault
from tests.simulation.lasting import UnansweredReferences
from tests.simulation.loop import Realm, in_realm
from tests.simulation.platform import simulated_platform
from tests.simulation.stores import Killed, SimulatedConnection, trouble
from tests.simulation.surroundings import SimulatedGround

if TYPE_CHECKING:
    from tests.simulation.connection import Endpoint
    from tests.simulation.world import World


class ConnectionLost(Exception):
    """Whoever was asked is gone; what became of the request is not known."""


@dataclasses.dataclass(frozen=True)
class Bos:
    """What answers requests to BOS, without the HTTP around it."""

    database: Database
    registrar: BatchRegistrar
    actions: BatchActions

    async def register(
        self,
        registration: BatchRegistrationRequestV1,
        correlation_id: UUID,
        keyed: KeyedRequest,
        texts: Mapping[str, StorageId],
    ) -> Answer:
        earlier = await answered_before(self.database, keyed)
        return earlier or await self.registrar.register(registration, correlation_id, keyed, texts)

    async def act(self, batch_id: str, action: Action, keyed: KeyedRequest) -> Answer:
        earlier = await answered_before(self.database, keyed)
        return earlier or await self.actions.take(batch_id, action, keyed)


class Process(Realm):
    """Some roles in one simulated process, from its start to its end."""

    def __init__(self, world: "World", name: str, modules: Sequence[str], number: int) -> None:
        super().__init__(name if number == 1 else f"{name}#{number}")
        self.world = world
        self.place = name
        self.life = number
        self.modules = modules
        self.connections: list[sqlite3.Connection] = []
        self.stopping = asyncio.Event()
        self.is_up = False
        self.services: dict[str, Any] = {}
        """Module → whom requests to it are for."""
        self.transport: Transport | None = None
        self.endpoint: Endpoint | None = None
        self._requests: dict[asyncio.Future[Any], None] = {}
        """In the order of their arrival; a set's order would follow from addresses in memory."""

    def start(self) -> None:
        """Begin; whoever awaits it learns of its end from ``world.ended``."""

        def begin() -> None:
            task = self.world.loop.create_task(self._live())
            task.add_done_callback(self._ended)

        in_realm(self, begin)

    async def request(self, module: str, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Have a request answered here, in a task of this process.

        Raises what the answering raises, and ``ConnectionLost``.
        """
        if not self.is_up or self.is_dead:
            raise ConnectionLost(f"{self.name} does not listen")
        answer: asyncio.Future[Any] = self.world.loop.create_future()
        self._requests[answer] = None

        async def work() -> None:
            try:
                result = await ask(self.services[module])
            except asyncio.CancelledError:
                if not answer.done():
                    answer.set_exception(ConnectionLost(f"{self.name} stopped"))
                raise
            except Exception as fault:  # noqa: BLE001 - it is the client's to judge
                if not answer.done():
                    answer.set_exception(fault)
            else:
                if not answer.done():
                    answer.set_result(result)

        in_realm(self, lambda: self.world.loop.create_task(work()))
        try:
            return await answer
        finally:
            self._requests.pop(answer, None)

    def die(self) -> None:
        """Be gone at once: nothing of it runs any more, what is not committed is undone."""
        self.is_dead = True
        self.is_up = False
        self._hang_up()
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        if self.endpoint is not None:
            for consumer in self.endpoint.consumers:
                consumer.vanish()
        if isinstance(self.transport, KafkaTransport):
            for relay in self.transport._relays:
                relay._lease._unlock()  # the kernel does it

    def _hang_up(self) -> None:
        for answer in self._requests:
            if not answer.done():
                answer.set_exception(ConnectionLost(f"{self.name} died"))
        self._requests.clear()

    # What the stores ask of their process.

    def commit(self, store: str, connection: SimulatedConnection) -> None:
        world, faults = self.world, self.world.faults
        if faults.strikes(Fault.DISK_FULL):
            world.tell(self.name, f"disk full in {store}")
            raise trouble(sqlite3.SQLITE_FULL, "database or disk is full")
        if faults.strikes(Fault.STORE_LOCKED):
            world.tell(self.name, f"{store} is locked by another process")
            raise trouble(sqlite3.SQLITE_BUSY, "database is locked")
        if faults.strikes(Fault.CRASH_BEFORE_COMMIT):
            world.tell(self.name, f"dies before a commit in {store}")
            raise Killed
        sqlite3.Connection.execute(connection, "COMMIT")
        world.committed(self, store, connection)
        if faults.strikes(Fault.CRASH_AFTER_COMMIT):
            world.tell(self.name, f"dies after a commit in {store}")
            raise Killed

    # What the surroundings ask of their process.

    async def call(self, module: str, ask: Callable[[Any], Any]) -> Any:
        return await self.world.call_from_process(module, ask)

    def asked(self, references: EssayReferences) -> EssayReferences:
        return UnansweredReferences(references, self.world.lasting)

    async def checked(self) -> None:
        if self.world.faults.strikes(Fault.CRASH_AMID_CHECK):
            self.world.tell(self.name, "dies amid a check")
            self.world.kill(self)
            await anyio.sleep_forever()

    def reading(self, storage_id: StorageId) -> None:
        self.world.lasting.reading(self.name, storage_id)

    def is_content_away(self) -> bool:
        return self.world.is_content_away(self.name)

    async def _live(self) -> None:
        world = self.world
        platform = simulated_platform(
            world.loop, world.clock, world.random_for(self), partial(world.kill, self)
        )
        stopping = anyio.Event()
        roles = [dataclasses.replace(role, answers=False) for role in self._roles()]
        async with AsyncExitStack() as stack:
            ground = SimulatedGround(
                world.settings, platform, stack, stopping, self, self, world.directory
            )
            await open_stores(ground, roles)
            transport = await world.transport_of(self, ground)
            self.transport = transport
            ground.transport = ObservedTransport(
                transport, self._unreliable, partial(world.published, self), world.listens
            )
            attached = await attach(ground, roles)
            self.services["transport"] = transport
            await self._serve(ground)
            tasks = await stack.enter_async_context(BackgroundTasks())
            if attached.uses_transport:
                tasks.start("transport", transport.run)
            chores = list(attached.chores)
            if STORE_NAME in ground.stores:
                chores += dead_letter_chores(ground.stores[STORE_NAME])
            tasks.start("housekeeping", lambda: keep_house(chores, platform))
            for name, run in attached.tasks.items():
                tasks.start(name, run)
            self.is_up = True
            world.tell(self.name, "is up")
            await self.stopping.wait()
            self.is_up = False
            self._hang_up()

    def _roles(self) -> list[Role]:
        return [role for role in ROLES.values() if role.module in self.modules]

    async def _serve(self, ground: SimulatedGround) -> None:
        settings, platform, stores = ground.settings, ground.platform, ground.stores
        for module in self.modules:
            if module == "bos":
                self.services["bos"] = Bos(
                    stores["bos"],
                    BatchRegistrar(stores["bos"], platform, ground.courses()),
                    BatchActions(stores["bos"], platform),
                )
            elif module == "files":
                self.services["files"] = Intake(
                    stores["files"],
                    platform,
                    settings.files,
                    settings.limits,
                    await ground.texts("files"),
                    await ground.extractor(),
                )
            elif module == "content":
                self.services["content"] = await ground.texts("content")
            elif module == "els":
                self.services["els"] = LocalReferences(stores["els"])

    def _unreliable(self, consumer: Consumer) -> Consumer:
        world = self.world
        return world.build.consumer(
            UnreliableConsumer(
                consumer,
                world.faults,
                world.history,
                self.name,
                world.hasty,
                world.log.note_handled,
                partial(world.lasting.meet, self),
                world.jump_days,
            )
        )

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.is_up = False
        self._hang_up()
        fault = None if task.cancelled() else task.exception()
        self.world.ended(self, fault, expected=isinstance(fault, Unavailable))


async def memory_transport(ground: SimulatedGround) -> MemoryTransport:
    """Return the embedded bus, as ``all-in-one`` makes it."""
    dead_letters = await ground.open_store(STORE_NAME, DEAD_LETTER_MIGRATIONS)
    return MemoryTransport(ground.platform, dead_letters)
