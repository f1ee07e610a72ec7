"""The deployment of one run and what happens to it, all from one seed."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import anyio

from huleedu.core.errors import PeerUnavailable
from huleedu.core.message import Message
from huleedu.transport.kafka.transport import KafkaTransport
from huleedu.transport.protocol import Consumer, Delivery, Subscription, Transport
from tests.simulation.broker import SESSION_SECONDS, Broker
from tests.simulation.connection import Endpoint, SimulatedConnection, simulated_library
from tests.simulation.deployment import DISTRIBUTED, EMBEDDED, drawn_settings
from tests.simulation.faults import SHORT_PHASES, Fault, Faults
from tests.simulation.history import History
from tests.simulation.lasting import Lasting
from tests.simulation.log import Log, Said
from tests.simulation.loop import WORLD, Realm, SimulatedLoop, in_realm
from tests.simulation.platform import WallClock
from tests.simulation.process import ConnectionLost, Process, memory_transport
from tests.simulation.promises import WATCHED, Broken, Violation, broken, what_fails_waits
from tests.simulation.settling import others_unsettled, unsettled
from tests.simulation.stores import Templates
from tests.simulation.surroundings import SimulatedGround
from tests.simulation.workload import Stranger, Teacher

STEPS_MAX = 400_000
DOWN_SECONDS_MAX = 1.0
AWAY_SECONDS_MAX = 1.5
JUMP_SECONDS_MAX = 5_400.0
JUMP_DAYS_MAX = 70.0
FREEZE_SECONDS_MAX = 5.0
EMBEDDED_PART = 0.5
"""Of all runs, all-in-one over the memory bus; the others are roles over a broker."""


class Build:
    """What the deployment is made of; a planted bug puts another part in its place."""

    def consumer(self, consumer: Consumer) -> Consumer:
        """Return what is given the deliveries of a group."""
        return consumer

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Have this build in force inside of the block."""
        with simulated_library():
            yield


@dataclass(frozen=True)
class Options:
    """Which run: all that a run follows from."""

    seed: int
    kinds: frozenset[Fault] = frozenset(Fault)
    """Kinds of faults that may happen."""
    among: frozenset[Fault] = frozenset(Fault)
    """Kinds of faults that the seed chooses among."""
    faults_max: int = 12
    batches: frozenset[int] | None = None
    """Batches of the seed's workload to keep; None: all of them."""
    build: Build = field(default_factory=Build)


class World:
    """Processes, stores, clock and faults of one run."""

    def __init__(self, options: Options, templates: Templates) -> None:
        self.options = options
        self.templates = templates
        self.build = options.build
        self.directory = directory = templates.fresh()
        self.loop = SimulatedLoop(STEPS_MAX)
        self.clock = WallClock(self.loop)
        self.history = History(self.loop)
        self.faults = Faults(
            self.random("faults"), options.kinds, options.faults_max, options.among
        )
        self.lasting = Lasting(self)
        is_short = not SHORT_PHASES.isdisjoint(self.faults.kinds)
        self.settings = drawn_settings(directory, self.random("settings"), is_short)
        self.log = Log(self)
        self.processes: dict[str, Process] = {}
        self.buried: list[Realm] = [WORLD]
        self.teachers: list[Teacher] = []
        self.stranger = Stranger(self)
        self._readers: dict[str, sqlite3.Connection] = {}
        self.deaths: list[BaseException] = []
        self.heard: dict[str, Sequence[str]] = {}
        """Group → the topics that it listens to."""
        self.once: set[tuple[str, str, str, int]] = set()
        self.proceeded: set[str] = set()
        self.set_aside: set[tuple[str, str]] = set()
        self.poison: set[str] = set()
        """Ids of messages that nobody can read."""
        self.held_up: list[str] = []
        """What was under way without the group that was away, when it came back."""
        self.broken: Broken | None = None
        self.over = asyncio.Event()
        self._chance = self.random("chance")
        self._starts = 0
        self._content_back_at = 0.0
        self._seen = (0, 0)
        is_embedded = self.random("layout").random() < EMBEDDED_PART
        self._layout = EMBEDDED if is_embedded else DISTRIBUTED
        self.broker = None if is_embedded else Broker(self.loop)

    def random(self, purpose: str) -> Random:
        """Return randomness of its own for a purpose, so that one does not disturb another."""
        return Random(f"{self.options.seed} {purpose}")

    def random_for(self, process: Process) -> Random:
        """Return the randomness of one life of a process."""
        return self.random(f"process {process.name}")

    def tell(self, who: str, what: str) -> None:
        """Note something in the history."""
        self.history.tell(who, what)

    # Processes

    def start_all(self) -> None:
        """Start every process of the deployment."""
        if any(self.faults.may(kind) for kind in _AT_A_STEP):
            self.loop.before_step = self._before_step
        for name in self._layout:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process anew."""
        before = self.processes.get(name)
        number = 1 if before is None else before.life + 1
        process = Process(self, name, self._layout[name], number)
        self.processes[name] = process
        self.buried.append(process)
        process.start()

    def kill(self, process: Process) -> None:
        """Let a process be gone, and start it again a while later."""
        if process.is_dead:
            return
        process.die()
        self._start_later(process)

    def ended(self, process: Process, fault: BaseException | None, *, expected: bool) -> None:
        """Hear that a process ended by itself."""
        told = "ended" if fault is None else f"ended: {fault!r}"
        self.tell(process.name, told.replace(str(self.directory), ""))
        if fault is not None and not expected:
            self.deaths.append(fault)
        self._start_later(process)

    def _start_later(self, process: Process) -> None:
        if self.lasting.keeps_down(process.modules):
            return
        seconds = self._chance.random() * DOWN_SECONDS_MAX

        def again() -> None:
            if self.processes[process.place] is process:
                self.start(process.place)

        in_realm(WORLD, lambda: self.loop.call_later(seconds, again))

    async def transport_of(self, process: Process, ground: SimulatedGround) -> Transport:
        """Return the transport of a new process."""
        if self.broker is None:
            return await memory_transport(ground)
        endpoint = process.endpoint = Endpoint(process, self.broker, self.random_for(process))
        return KafkaTransport(SimulatedConnection(endpoint), ground.platform)

    def process_of(self, module: str) -> Process | None:
        """Return a process that answers for a module; None while there is none."""
        for process in self.processes.values():
            if (module in process.modules or module in process.services) and process.is_up:
                return process
        return None

    # Calls

    async def ask(self, module: str, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Return what a module answers.  Raises its error, or ``ConnectionLost``."""
        process = self.process_of(module)
        if process is None:
            raise ConnectionLost(f"nobody answers for {module}")
        await anyio.sleep(self._chance.random() * 0.002)
        return await process.request(module, ask)

    async def call_from_process(self, module: str, ask: Callable[[Any], Any]) -> Any:
        """Return what another process answers.  Raises ``PeerUnavailable``."""
        try:
            return await self.ask(module, ask)
        except ConnectionLost as error:
            raise PeerUnavailable(str(error)) from error

    def is_content_away(self, process: str) -> bool:
        """Tell whether the content store does not answer now."""
        if self.faults.strikes(Fault.CONTENT_AWAY):
            seconds = self.faults.between(0.0, AWAY_SECONDS_MAX)
            self._content_back_at = self.loop.now + seconds
            self.tell(process, f"the content store is away for {seconds:.3f} s")
        return self.loop.now < self._content_back_at

    # What is seen of the modules

    def committed(self, process: Process, store: str, connection: Any) -> None:
        """Hear of a commit that is durable."""
        self.log.committed(process, store, connection)

    def listens(self, subscription: Subscription) -> None:
        """Hear of what a group listens to."""
        self.heard[subscription.group] = subscription.topics

    def watch(self, store: str, connection: Any, new: Sequence[Said]) -> None:
        """Look whether the promises hold after a commit; the first that does not ends the run."""
        for promise in WATCHED.values():
            try:
                promise(self, store, connection, new)
            except Violation as fault:
                self.break_off(broken(promise, fault))

    def hasty(self, delivery: Delivery) -> None:
        """Hear of a delivery that comes again without the pause that it should have had."""
        about = f"attempt {delivery.attempt} for {delivery.group} of {delivery.messages[0].topic}"
        self.break_off(broken(what_fails_waits, Violation(f"{about} came at once")))

    def break_off(self, fault: Broken) -> None:
        """End the run: a promise is broken."""
        if self.broken is None:
            self.broken = fault
            self.tell("world", f"BROKEN {fault.promise}: {fault.detail}")
            self.over.set()

    def published(self, process: Process, message: Message) -> None:
        """Hear of a message that a role without a store is about to publish."""
        self.log.publishing(process, message)

    def is_poison(self, letter: Message) -> bool:
        """Tell whether a dead letter is of a message that nobody can read."""
        return letter.event_id in self.poison

    async def send_poison(self, message: Message) -> None:
        """Have somebody outside of the program say what nobody can read."""
        self.poison.add(message.event_id)
        self.tell("stranger", f"says nonsense on {message.topic}")
        if self.broker is not None:
            headers = tuple((name, text.encode()) for name, text in message.headers.items())
            self.broker.append(message.topic, message.key, message.value, headers, None)
            return
        await self.ask("transport", lambda transport: transport.publish([message]))

    # Faults that strike at any step

    def _before_step(self, realm: Realm) -> bool:
        """Return whether the step is not to be done, since its process is gone."""
        if not isinstance(realm, Process):
            return False
        match self.faults.one_of(_AT_A_STEP):
            case Fault.CRASH:
                self.tell(realm.name, "dies")
                self.kill(realm)
                return True
            case Fault.STOP:
                self.tell(realm.name, "is told to stop")
                realm.stopping.set()
            case Fault.CLOCK_JUMP:
                seconds = self.faults.between(-JUMP_SECONDS_MAX, JUMP_SECONDS_MAX)
                self.tell("world", f"the clock jumps by {seconds:.0f} s")
                self.clock.jump(seconds)
            case Fault.CLOCK_JUMP_DAYS:
                self.jump_days()
            case Fault.REBALANCE if self.broker is not None:
                self._rebalance(self.broker)
            case Fault.ZOMBIE if self.broker is not None:
                self._freeze(self.broker, realm)
        return False

    def jump_days(self) -> None:
        """Set the clock to another day; house is kept at once."""
        days = self.faults.between(-JUMP_DAYS_MAX, JUMP_DAYS_MAX)
        self.tell("world", f"the clock jumps by {days:.1f} days")
        self.clock.jump(days * 86_400)

    def _rebalance(self, broker: Broker) -> None:
        groups = [group for group in broker.groups.values() if group.members]
        if groups:
            self.tell("broker", "partitions are given out anew")
            groups[int(self.faults.between(0, len(groups)))].rebalance()

    def _freeze(self, broker: Broker, process: Process) -> None:
        seconds = self.faults.between(0.5, FREEZE_SECONDS_MAX)
        self.tell(process.name, f"stands still for {seconds:.3f} s")
        process.frozen = deque()
        if seconds > SESSION_SECONDS and process.endpoint is not None:
            for consumer in process.endpoint.consumers:
                consumer.vanish()
        broker.later(seconds, lambda: self.loop.thaw(process))

    # The end of a run

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.tell("world", "faults stop")
        self.faults.stop()
        self.loop.before_step = None
        self._content_back_at = 0.0
        if not self.has_jumped_days:
            self.clock.put_right()

    @property
    def has_jumped_days(self) -> bool:
        """Whether the clock was days ahead, or behind."""
        injected = self.faults.injected
        return injected[Fault.CLOCK_JUMP_DAYS] + injected[Fault.MONTH_PASSED] > 0

    def is_settled(self) -> bool:
        """Tell whether everybody is answered, nothing is under way, nor was since the last look."""
        self._keep_time()
        before, self._seen = self._seen, (len(self.log.said), len(self.log.taken))
        return before == self._seen and not self.unsettled()

    def _keep_time(self) -> None:
        if self.faults.is_over and self.has_jumped_days:
            # Deadlines that were set while the clock was ahead pass when it gets there.
            self.clock.be_past(self.lasting.waited_for())

    def unsettled(self) -> list[str]:
        """Return what is still under way."""
        return unsettled(self)

    def are_others_settled(self) -> bool:
        """Tell whether nothing is under way that need not wait for the group that is away."""
        self._keep_time()
        self.held_up = others_unsettled(self)
        return not self.held_up

    def reader(self, store: str) -> sqlite3.Connection:
        """Return a connection that sees what is durable in a store."""
        if store not in self._readers:
            path = self.directory / f"{store}.db"
            self._readers[store] = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, isolation_level=None
            )
        return self._readers[store]

    def later(self) -> datetime:
        """Return a moment after everything that anybody waits for."""
        return self.clock.now() + timedelta(days=400)

    def text_of(self, storage_id: str) -> str:
        """Return a text that is kept."""
        (content,) = (
            self.reader("content")
            .execute("SELECT bytes FROM content WHERE storage_id = ?", (storage_id,))
            .fetchone()
        )
        return bytes(content).decode()

    def end(self) -> None:
        """Close everything that is still open."""
        for process in self.processes.values():
            process.is_dead = True
            for connection in process.connections:
                connection.close()
        for reader in self._readers.values():
            reader.close()
        self.loop.bury(self.buried)
        self.loop.close()


_AT_A_STEP = (
    Fault.CRASH,
    Fault.STOP,
    Fault.CLOCK_JUMP,
    Fault.CLOCK_JUMP_DAYS,
    Fault.REBALANCE,
    Fault.ZOMBIE,
)
