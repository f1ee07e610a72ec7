"""Options of ``huleedu dlq``: which dead letters are meant, and where they are kept."""

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from huleedu.cli import configuration
from huleedu.cli.failures import WrongUse
from huleedu.core.logging import configure_logging
from huleedu.core.platform import Platform
from huleedu.core.settings import Settings
from huleedu.core.settings_keys import MODULE_PREFIXES
from huleedu.transport.dead_letter_box import DeadLetterBox, Wanted

_AGO = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

TopicOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Only what failed on this topic.", metavar="TOPIC")
]
GroupOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--group", help="Only what this consumer group set aside.", metavar="GROUP"),
]
ErrorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Only what failed with this class or code of error, as MalformedMessage.",
        metavar="ERROR",
    ),
]
BatchOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Only what is about this batch.", metavar="BATCH_ID")
]
SinceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Only what failed in the last 30s, 15m, 2h or 7d, or since a time with its offset "
        "from UTC, as 2026-01-12T08:00Z.",
        metavar="WHEN",
    ),
]
TransportOption: TypeAlias = Annotated[
    Literal["auto", "memory", "kafka"] | None,
    typer.Option(
        help="Where to look: in the data directory of `serve all-in-one` (memory), or on the "
        "broker (kafka); else in the data directory if it has dead letters, and on the broker "
        "otherwise."
    ),
]
DataDirOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Data directory of `serve all-in-one`.")
]
ServersOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Brokers to start from, host:port,host:port, instead of the settings'."),
]
ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
]


@dataclass(frozen=True)
class Filters:
    """Which dead letters are meant, as given on the command line."""

    topic: str | None
    group: str | None
    error: str | None
    batch_id: str | None
    since: str | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given."""
        given = (self.topic, self.group, self.error, self.batch_id, self.since)
        return all(one is None for one in given)

    def wanted(self, now: datetime, ids: Collection[str] = (), *, settled_too: bool) -> Wanted:
        """Return what is meant, at this moment.  Raises ``WrongUse``."""
        return Wanted(
            ids=frozenset(ids) if ids else None,
            topic=self.topic,
            group=self.group,
            error=self.error,
            batch_id=self.batch_id,
            since=None if self.since is None else moment(self.since, now),
            settled_too=settled_too,
        )


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that is meant by ``2h`` (ago) or by a time.  Raises ``WrongUse``."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise WrongUse(
            f"--since {text} is no time: give 30s, 15m, 2h or 7d, or a time with its offset from "
            "UTC, as 2026-01-12T08:00Z."
        )
    return given


@dataclass(frozen=True)
class Place:
    """Where dead letters are kept."""

    settings: Settings

    @classmethod
    def chosen(
        cls,
        transport: Literal["auto", "memory", "kafka"] | None,
        data_dir: Path | None,
        kafka_bootstrap_servers: str | None,
        config: Path | None,
    ) -> "Place":
        """Return the place that options and settings name.  Raises ``Misconfigured``."""
        options = {
            "transport": transport,
            "data_dir": data_dir,
            "kafka_bootstrap_servers": kafka_bootstrap_servers,
        }
        settings = configuration.load(options, config).settings
        configure_logging("WARNING", settings.log_format)
        return cls(settings)

    @property
    def store(self) -> Path:
        """The file in which the embedded bus keeps them."""
        # Here and below, since these would slow down the start of every command.
        from huleedu.transport.dead_letters import STORE_NAME  # noqa: PLC0415

        return self.settings.data_dir / f"{STORE_NAME}.db"

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded bus that keeps them."""
        if self.settings.transport == "auto":
            return self.store.exists()
        return self.settings.transport == "memory"

    @property
    def groups(self) -> frozenset[str]:
        """The consumer groups of this deployment."""
        own = (getattr(self.settings, name).consumer_group for name in MODULE_PREFIXES)
        return frozenset(group for group in own if group is not None)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[DeadLetterBox, Platform]]:
        """Open them.  Raises ``Misconfigured``, ``Unavailable``."""
        platform = Platform()
        if self.is_embedded:
            from huleedu.transport.stored_dead_letter_box import (  # noqa: PLC0415
                StoredDeadLetterBox,
            )

            async with StoredDeadLetterBox.opened(self.store, platform) as stored:
                yield stored, platform
            return
        from huleedu.transport.kafka.connection import KafkaConnection  # noqa: PLC0415
        from huleedu.transport.kafka.dead_letter_box import KafkaDeadLetterBox  # noqa: PLC0415
        from huleedu.transport.kafka.retention import dead_letter_retention_ms  # noqa: PLC0415

        connection = KafkaConnection.from_settings(
            self.settings.kafka, self.settings.kafka_bootstrap_servers, "dlq"
        )
        kept_ms = dead_letter_retention_ms(self.settings.kafka)
        async with KafkaDeadLetterBox.opened(
            connection, platform, retention_ms=kept_ms
        ) as recorded:
            yield recorded, platform
