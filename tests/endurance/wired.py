"""``python -m tests.endurance.wired serve all-in-one …``: the program, with its moments told.

The program itself is the real one.  Around it: every delivery to a handler, every commit, every
hand-over to the bus and every mark in an outbox is a point at which the process may be told to
die, and every background task can be made to fail.  Each message and each write goes alone, so
that there are as many points as there can be.  What to do is read from the file ``CONTROL`` of the
environment whenever SIGUSR1 comes.  What a handler has handled is told in the file ``HANDLED``.
"""

import asyncio
import importlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from huleedu.app.ground import Ground
from huleedu.cli.program import main
from huleedu.core.clock import SystemClock
from huleedu.core.enums import Language
from huleedu.core.message import Message
from huleedu.store import database, outbox
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.memory_queue import Entry, TopicQueue
from huleedu.transport.protocol import Consumer, Delivery, Subscription
from tests.crash.planted import plant
from tests.endurance.mortal import Tasks
from tests.endurance.points import Point, Points

handled = os.open(os.environ["HANDLED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
points = Points()
tasks = Tasks()


class ToldConsumer:
    """A consumer whose handling of each delivery is told before and after."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def handle(self, delivery: Delivery) -> None:
        where = f"handler of {delivery.group.split('-service')[0]} {_short(delivery.messages[0])}"
        points.pass_(f"before {where}")
        await self._consumer.handle(delivery)
        points.pass_(f"after {where}")
        for message in delivery.messages:
            os.write(handled, f"{delivery.group} {message.event_id}\n".encode())

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        await self._consumer.set_aside(delivery, cause)


class ToldTransport(MemoryTransport):
    """The real bus; answers are told, and messages come alone."""

    def subscribe(self, subscription: Subscription) -> None:
        consumer = ToldConsumer(subscription.consumer)
        super().subscribe(replace(subscription, consumer=consumer, batch_max=1))

    async def publish(self, messages: Sequence[Message]) -> None:
        points.pass_(f"before answering with {_short(messages[0])}")
        await super().publish(messages)
        points.pass_(f"after answering with {_short(messages[0])}")


class ToldConnection(sqlite3.Connection):
    """A connection whose commits are told before and after, once ``store`` is known."""

    store = ""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, parameters)
        points.pass_(f"before a commit of {self.store}")
        cursor = super().execute(sql, parameters)
        points.pass_(f"after a commit of {self.store}")
        return cursor


def english_ground(*args: Any, **more: Any) -> Ground:
    """Stand on one language: the program is started very often, and loading is half of that."""
    return Ground(*args, **{**more, "languages": (Language.ENGLISH,)})


def tell_moments() -> None:
    """Have everything that is made from now on tell its moments."""
    connect, mark_sent, put = sqlite3.connect, outbox.mark_sent, TopicQueue.put

    def told_connect(path: str, *args: Any, **more: Any) -> ToldConnection:
        connection = connect(path, *args, **more, factory=ToldConnection)
        connection.store = Path(str(path).partition("?")[0]).stem
        return connection

    def told_mark_sent(connection: sqlite3.Connection, ids: Iterable[int], now: datetime) -> None:
        store = getattr(connection, "store", "")
        points.pass_(f"before marking what {store} sent")
        mark_sent(connection, ids, now)
        points.pass_(f"after marking what {store} sent")

    def told_put(self: TopicQueue, entry: Entry) -> None:
        points.pass_(f"before handing over {_short(entry.message)}")
        put(self, entry)
        points.pass_(f"after handing over {_short(entry.message)}")

    sqlite3.connect = told_connect  # type: ignore[assignment]
    outbox.mark_sent = told_mark_sent
    setattr(TopicQueue, "put", told_put)  # noqa: B010
    # By its name: the package exports a function of the same name as the module.
    composition = importlib.import_module("huleedu.app.all_in_one").__dict__
    composition["MemoryTransport"] = ToldTransport
    composition["Ground"] = english_ground
    database.GROUP_COMMIT_MAX = 1


def set_clock(ahead: timedelta) -> None:
    """Have the program's wall clock differ so much from the machine's."""
    setattr(SystemClock, "now", lambda _self: datetime.now(UTC) + ahead)  # noqa: B010


def obey(path: Path) -> None:
    """Do what the file says, and say so by removing it."""
    order = json.loads(path.read_text())
    if "kill_at" in order:
        points.kill_at(Point(**order["kill_at"]))
    elif "record" in order:
        points.record(Path(order["record"]))
    elif "list_tasks" in order:
        Path(order["list_tasks"]).write_text("\n".join(tasks.names()))
    elif "doom" in order:
        asyncio.get_running_loop().call_soon(tasks.doom, order["doom"])
    elif "clock" in order:
        set_clock(timedelta(seconds=order["clock"]))
    path.unlink()


def _short(message: Message) -> str:
    return message.topic.removeprefix("huleedu.").removeprefix("els.")


if __name__ == "__main__":
    control = Path(os.environ["CONTROL"])
    signal.signal(signal.SIGUSR1, lambda _number, _frame: obey(control))
    plant(os.environ.get("PLANTED"))
    tell_moments()
    tasks.watch()
    main()
