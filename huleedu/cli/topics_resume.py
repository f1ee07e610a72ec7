"""``huleedu topics resume``: saying where a consumer group goes on in a topic."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from huleedu.cli import configuration
from huleedu.cli.failures import WrongUse
from huleedu.cli.options import JsonOption
from huleedu.cli.output import print_json, print_table, tell
from huleedu.cli.signals import run_to_end
from huleedu.core.logging import configure_logging
from huleedu.core.platform import Platform
from huleedu.core.settings import Settings
from huleedu.core.settings_keys import MODULE_PREFIXES

if TYPE_CHECKING:
    from huleedu.store.database import Database
    from huleedu.transport.kafka.resuming import Resuming, Resumption, Target


class Shown(msgspec.Struct, frozen=True):
    """One partition, as ``--json`` prints it."""

    group: str
    topic: str
    partition: int
    stood_at: int | None
    log_begins: int
    log_ends: int
    goes_on_at: int
    deleted: int
    skipped: int
    read_again: int


def resume(
    consumer_group: Annotated[
        str, typer.Argument(metavar="GROUP", help="The consumer group, as the trouble names it.")
    ],
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic that it reads.")],
    where: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="start: at the oldest message that the broker has; now: behind the newest one; "
            "or an offset.",
        ),
    ],
    partition: Annotated[
        int | None, typer.Option(min=0, help="Only this partition; else every one.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data directory of the group's module.")
    ] = None,
    kafka_bootstrap_servers: Annotated[
        str | None,
        typer.Option(help="Brokers to start from, host:port,host:port, instead of the settings'."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Say where a consumer group goes on in a topic, while its processes are stopped.

    For a partition that stopped because its messages were deleted before they were read, and for
    any other position of a group.  What is skipped or read again is shown first.
    """
    options = {"kafka_bootstrap_servers": kafka_bootstrap_servers, "data_dir": data_dir}
    settings = configuration.load(options, config).settings
    configure_logging("WARNING", settings.log_format)
    target = _target(where)
    module = _module_of(settings, consumer_group)

    async def planned() -> "Sequence[Resumption]":
        async with _resuming(settings, module, consumer_group, topic) as resuming:
            return await resuming.plan(partition, target)

    plan = run_to_end(planned)
    if not yes:
        _print(plan, consumer_group, topic, as_json=False) if not json_output else None
        typer.confirm(f"Let {consumer_group} go on there?", abort=True, err=True)

    async def carried_out() -> None:
        async with _resuming(settings, module, consumer_group, topic) as resuming:
            await resuming.carry_out(plan)

    run_to_end(carried_out)
    if yes or json_output:
        _print(plan, consumer_group, topic, as_json=json_output)
    tell(f"{consumer_group} goes on there when its processes are started.")


def _target(where: str) -> "Target":
    if where == "start":
        return "start"
    if where == "now":
        return "now"
    if where.isascii() and where.isdigit():
        return int(where)
    raise WrongUse(f"--from {where}: expected start, now, or an offset such as 120.")


def _module_of(settings: Settings, group: str) -> str:
    groups = {getattr(settings, name).consumer_group: name for name in MODULE_PREFIXES}
    if group not in groups:
        known = ", ".join(sorted(name for name in groups if name))
        raise WrongUse(f"{group} is not a consumer group of this deployment: {known}.")
    module: str = groups[group]
    return module


@asynccontextmanager
async def _resuming(
    settings: Settings, module: str, group: str, topic: str
) -> "AsyncIterator[Resuming]":
    # Here, since these would slow down the start of every command.
    from huleedu.transport.kafka.connection import KafkaConnection  # noqa: PLC0415
    from huleedu.transport.kafka.resuming import Resuming  # noqa: PLC0415

    platform = Platform()
    connection = KafkaConnection.from_settings(
        settings.kafka, settings.kafka_bootstrap_servers, "topics"
    )
    async with (
        _store_of(settings, module, platform) as store,
        Resuming.opened(connection, platform.clock, group, topic, store) as resuming,
    ):
        yield resuming


@asynccontextmanager
async def _store_of(
    settings: Settings, module: str, platform: Platform
) -> "AsyncIterator[Database | None]":
    from huleedu.app.modules import MODULES  # noqa: PLC0415 - see above
    from huleedu.store.database import Database  # noqa: PLC0415
    from huleedu.store.directory import locked  # noqa: PLC0415

    if not MODULES[module].migrations:
        yield None
        return
    path = getattr(settings, module).database_path or settings.data_dir / f"{module}.db"
    if not path.exists():
        raise WrongUse(
            f"the positions of this group are kept in {path}, which is not here: run this on the "
            f"host of {module}, with its --data-dir."
        )
    with ExitStack() as stack:
        stack.enter_context(locked(settings.data_dir, shared=True))
        store = Database(path, MODULES[module].migrations, platform.hops)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def _print(plan: "Sequence[Resumption]", group: str, topic: str, *, as_json: bool) -> None:
    shown = [
        Shown(
            group,
            topic,
            one.partition,
            one.stood_at,
            one.log_begins,
            one.log_ends,
            one.goes_on_at,
            one.deleted,
            one.skipped,
            one.read_again,
        )
        for one in plan
    ]
    if as_json:
        print_json(shown)
        return
    columns: dict[str, Callable[[Shown], object]] = {
        "Partition": lambda one: one.partition,
        "Stood at": lambda one: one.stood_at,
        "Log begins": lambda one: one.log_begins,
        "Log ends": lambda one: one.log_ends,
        "Goes on at": lambda one: one.goes_on_at,
        "Deleted unread": lambda one: one.deleted,
        "Skipped": lambda one: one.skipped,
        "Read again": lambda one: one.read_again,
    }
    print_table(list(columns), [[cell(one) for cell in columns.values()] for one in shown])
