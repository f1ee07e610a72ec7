"""``huleedu topics``: the topics of this deployment on its broker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huleedu.cli import configuration
from huleedu.cli.options import JsonOption
from huleedu.cli.output import print_json, print_table, print_text, tell
from huleedu.cli.signals import run_to_end
from huleedu.cli.topics_resume import resume
from huleedu.core.clock import SystemClock
from huleedu.core.logging import configure_logging
from huleedu.core.settings import Settings

if TYPE_CHECKING:
    from huleedu.transport.kafka.connection import KafkaConnection
    from huleedu.transport.kafka.lag import TopicState
    from huleedu.transport.kafka.topics import Outcome

group = typer.Typer(help="The topics of this deployment on its broker.", no_args_is_help=True)
group.command("resume")(resume)

ConfigOption = Annotated[
    Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
]
ServersOption = Annotated[
    str | None,
    typer.Option(help="Brokers to start from, host:port,host:port, instead of the settings'."),
]


@group.callback()
def _group() -> None:
    """The topics of this deployment on its broker."""


@group.command()
def bootstrap(
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make every topic that is not there yet, with that of its dead letters."""
    settings = _settings(kafka_bootstrap_servers, config)
    outcomes = _Outcomes(printing=not json_output)

    async def work() -> None:
        from huleedu.transport.kafka.topics import bootstrap as make  # noqa: PLC0415 - see below

        await make(_connection(settings), settings.kafka, outcomes, SystemClock())

    try:
        run_to_end(work)
    finally:
        if json_output:
            print_json(outcomes.by_topic)


@group.command("list")
def list_all(
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the partitions of each topic, and how many messages each group has before it."""
    settings = _settings(kafka_bootstrap_servers, config)

    async def work() -> "list[TopicState]":
        # Here and below, since the client library would slow down the start of every command.
        from huleedu.transport.kafka import lag  # noqa: PLC0415

        groups = lag.known_groups(settings)
        return await lag.list_topics(_connection(settings), groups, SystemClock())

    states = run_to_end(work)
    if json_output:
        print_json(states)
        _tell_of_short_retention(states, settings)
        return
    rows: list[list[object]] = []
    for state in states:
        lags: list[tuple[str | None, int | None]] = list(state.lag.items()) or [(None, None)]
        rows += [[state.topic, state.partitions, name, behind] for name, behind in lags]
    print_table(["Topic", "Partitions", "Group", "Lag"], rows)
    missing = sum(state.partitions is None for state in states)
    if missing:
        tell(f"{missing} of {len(states)} topics are not there; `huleedu topics bootstrap`.")
    _tell_of_short_retention(states, settings)


def _tell_of_short_retention(states: "list[TopicState]", settings: Settings) -> None:
    from huleedu.transport.kafka import retention  # noqa: PLC0415 - see above

    kept = {one.topic: one.retention_ms for one in states if one.retention_ms is not None}
    short = retention.kept_too_short(kept, settings.kafka)
    if short:
        tell("\n".join([*short, retention.how_to_keep_longer(settings.kafka)]))


class _Outcomes:
    """Tells what becomes of the topics, and remembers it."""

    def __init__(self, *, printing: bool) -> None:
        self._printing = printing
        self.by_topic: dict[str, Outcome] = {}

    def topic(self, name: str, outcome: "Outcome") -> None:
        self.by_topic[name] = outcome
        if self._printing:
            print_text(f"{name}: {outcome}")

    def waiting(self, why: str, seconds: float) -> None:
        tell(f"{why.rstrip('.')}.\nTrying again in {seconds:g} seconds.")


def _settings(servers: str | None, config: Path | None) -> Settings:
    loaded = configuration.load({"kafka_bootstrap_servers": servers}, config)
    configure_logging("WARNING", loaded.settings.log_format)
    return loaded.settings


def _connection(settings: Settings) -> "KafkaConnection":
    from huleedu.transport.kafka.connection import KafkaConnection  # noqa: PLC0415

    return KafkaConnection.from_settings(settings.kafka, settings.kafka_bootstrap_servers, "topics")
