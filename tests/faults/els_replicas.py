"""Three els-workers over one store, and essays that flow through them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.loaded_broker import faults as result_faults
from bench.workload import batches, stream
from huleedu.core.message import Message
from tests.faults.ground import (
    Ground,
    Told,
    count,
    deployed,
    new_prefix,
    stop_roles,
    until_count,
)
from tests.faults.load import published
from tests.faults.log_check import log_faults, read_topics, topics_of
from tests.support.deployment import Deployment, RoleProcess

REPLICAS = 3
STUCK_SECONDS = 120.0


class ElsReplicas:
    """The processes, what is said to them, and what must come of it."""

    def __init__(
        self, ground: Ground, deployment: Deployment, data: Path, prefix: str, batch_count: int
    ) -> None:
        self._servers = ground.broker.bootstrap_servers
        self._deployment = deployment
        self._data = data
        self._batch_count = batch_count
        self._seed = ground.chance.randrange(2**31)
        self._ready = topics_of(deployment)["BATCH_ESSAYS_READY"]
        self.messages = [Message(*event.under(prefix)) for event in stream(batch_count, self._seed)]

    @property
    def processes(self) -> Sequence[RoleProcess]:
        return list(self._deployment.processes.values())

    async def start(self) -> None:
        """Start them; returns when each has its partitions."""
        for number in range(REPLICAS):
            self._deployment.start("els-worker", name=f"els-worker-{number}")
        for process in self.processes:
            await Told(process, ever=True).until("partitions_assigned")

    async def publish(self, seconds: float) -> None:
        """Hand all messages to the broker, spread over so many seconds."""
        await published(self._servers, self.messages, seconds)

    async def drained(self) -> float:
        """Return the seconds until every batch is told to be ready."""
        query = "SELECT count(*) FROM outbox WHERE topic = ? AND sent_at IS NOT NULL"
        store = self._data / "els.db"
        return await until_count(
            lambda: count(store, query, self._ready), self._batch_count, STUCK_SECONDS
        )

    def redelivered(self) -> int:
        """Return how many messages were handled in vain, since another had handled them."""
        return sum(
            one["messages"]
            for process in self.processes
            for one in process.events("delivery_failed")
            if one["error"].startswith("Superseded")
        )

    async def stopped(self) -> list[str]:
        """Stop the processes; return all that is wrong with them and with what was said."""
        expected = batches(self._batch_count, self._seed)
        broken = stop_roles(self._deployment)
        broken += await log_faults(
            self._servers,
            self._deployment,
            self._data,
            modules=["els"],
            batch_ids=list(expected),
            once=["BATCH_ESSAYS_READY"],
        )
        seen = await read_topics(self._servers, [self._ready], keep_values=True)
        return [*broken, *result_faults([one.value for one in seen[self._ready]], expected)]


@asynccontextmanager
async def els_replicas(
    ground: Ground, name: str, batch_count: int, **environment: str
) -> AsyncIterator[ElsReplicas]:
    """Replicas that are yet to be started, over topics of their own."""
    prefix = new_prefix()
    async with deployed(ground, name, prefix, **environment) as (deployment, data):
        yield ElsReplicas(ground, deployment, data, prefix, batch_count)
