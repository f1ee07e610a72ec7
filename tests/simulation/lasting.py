"""Faults that last: what never heals, and one group that is away until all others are done.

Each strikes once in a run at most, and goes on when the other faults have stopped.
"""

import dataclasses
import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec.structs import replace

from huleedu.core.clock import moment_of
from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import PeerUnavailable, StoreUnavailable, TooManyDeadLetters
from huleedu.core.message import Message
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.ports import EssayReferences
from huleedu.core.topics import topic_name
from huleedu.transport.protocol import Delivery
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

MAY_BE_AWAY = ("results", "bos", "files")
"""Modules whose group may be away or stopped."""


_READY = topic_name(ProcessingEvent.BATCH_ESSAYS_READY)


class Away(StrEnum):
    """What is wrong with a group that is away."""

    FULL = "its store is full"
    DOWN = "its process is down"
    STOPPED = "its breaker stopped it"


class Lasting:
    """What lasts in one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = world.random("lasting")
        self.damaged: str | None = None
        """Storage id of the text that is no longer what it was."""
        self.unanswered: str | None = None
        """The batch whose references ELS never tells."""
        self.away: str | None = None
        """The module whose group is away."""
        self.how: Away | None = None

    @property
    def group(self) -> str | None:
        """The group that is away."""
        return None if self.away is None else self.group_of(self.away)

    # Texts

    def reading(self, process: str, storage_id: str) -> None:
        """Damage one text for good, just before it is read."""
        world = self._world
        if self.damaged is not None or not world.faults.strikes(Fault.TEXT_DAMAGED):
            return
        self.damaged = storage_id
        world.tell(process, f"the text {storage_id} is damaged on the disk")
        content = sqlite3.connect(world.directory / "content.db", isolation_level=None)
        content.execute(
            "UPDATE content SET bytes = CAST('X' || substr(bytes, 2) AS BLOB) WHERE storage_id = ?",
            (storage_id,),
        )
        content.close()

    # Deliveries

    def meet(self, process: "Process", delivery: Delivery) -> Delivery:
        """Return a delivery as its group gets it.  Raises what the group meets with instead."""
        module = next((m for m in MAY_BE_AWAY if self.group_of(m) == delivery.group), None)
        if module is not None and self.away is None:
            self._begin(module, process)
        if module is not None and self.away == module:
            if self.how is Away.STOPPED:
                raise TooManyDeadLetters("simulated: the breaker stops the group")
            raise StoreUnavailable("simulated: the store is full, and stays so")
        return self._without_references(delivery) if module == "bos" else delivery

    def _without_references(self, delivery: Delivery) -> Delivery:
        """Have one batch be ready in the words of a sender that says nothing of its texts."""
        messages = [
            _without_texts(one) if one.topic == _READY and self._is_unanswered(one) else one
            for one in delivery.messages
        ]
        return dataclasses.replace(delivery, messages=messages)

    def _is_unanswered(self, ready: Message) -> bool:
        batch_id, world = ready.key.decode(), self._world
        if self.unanswered is None and world.faults.strikes(Fault.REFERENCES_UNANSWERED):
            self.unanswered = batch_id
            world.tell("world", f"nobody ever tells where the texts of {batch_id} are")
        return self.unanswered == batch_id

    def asked(self, batch_id: str) -> None:
        """Hear that BOS asks for the references of a batch.  Raises ``PeerUnavailable``."""
        if batch_id == self.unanswered:
            raise PeerUnavailable("simulated: ELS does not say where these texts are")

    # Groups

    def _begin(self, module: str, process: "Process") -> None:
        world = self._world
        if world.faults.strikes(Fault.GROUP_STOPPED):
            self.how = Away.STOPPED
        elif world.faults.strikes(Fault.GROUP_AWAY):
            may_be_down = world.broker is not None and self._random.random() < 0.5
            self.how = Away.DOWN if may_be_down else Away.FULL
        else:
            return
        self.away = module
        world.tell("world", f"the group of {module} is away: {self.how}")
        if self.how is Away.DOWN:
            world.kill(process)

    def keeps_down(self, modules: Collection[str]) -> bool:
        """Tell whether a process that ended is not started again."""
        return self.how is Away.DOWN and self.away in modules

    def come_back(self) -> None:
        """End it: the group goes on, after a restart where it takes one."""
        module, how = self.away, self.how
        self.away = self.how = None
        if module is None:
            return
        world = self._world
        world.tell("world", f"the group of {module} comes back")
        for name, process in list(world.processes.items()):
            if module not in process.modules:
                continue
            if how is Away.DOWN:
                world.start(name)
            elif how is Away.STOPPED:
                process.stopping.set()

    # What follows for those who judge

    def excused(self, group: str, message: Message) -> bool:
        """Tell whether a group may wait with a message for ever."""
        if group == self.group_of("spellcheck") and self.damaged is not None:
            return self.damaged.encode() in message.value
        if group == self.group_of("bos") and self.unanswered is not None:
            return message.topic == _READY and message.key.decode() == self.unanswered
        return False

    def lags(self, group: str) -> bool:
        """Tell whether a group may stand before a message that it waits with."""
        waits = {
            self.group_of("spellcheck"): self.damaged,
            self.group_of("bos"): self.unanswered,
        }
        return waits.get(group) is not None

    def waited_for(self) -> datetime | None:
        """Return the latest deadline that a batch waits for in ELS: clocks go on until then."""
        row = (
            self._world.reader("els")
            .execute(
                "SELECT max(deadline_at) FROM batch WHERE registered_at IS NOT NULL"
                " AND ready_at IS NULL AND cancelled_at IS NULL"
            )
            .fetchone()
        )
        return moment_of(row[0])

    def group_of(self, module: str) -> str:
        """Return the consumer group of a module."""
        return str(getattr(self._world.settings, module).consumer_group)


class UnansweredReferences:
    """ELS, which does not answer for one batch."""

    def __init__(self, references: EssayReferences, lasting: Lasting) -> None:
        self._references = references
        self._lasting = lasting

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        self._lasting.asked(batch_id)
        return await self._references.of_batch(batch_id)


def _without_texts(ready: Message) -> Message:
    said = json.loads(ready.value)
    said["data"].pop("ready_essays", None)
    return replace(ready, value=json.dumps(said).encode())
