"""``huleedu serve``: the program as a server, whole or some roles of it."""

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, TypeAlias

import anyio
import msgspec
import typer

from huleedu.cli import configuration
from huleedu.cli.arenas import bound_arenas
from huleedu.cli.failures import WrongUse
from huleedu.cli.output import tell_on_terminal
from huleedu.cli.signals import run_until_signalled
from huleedu.core.errors import Misconfigured
from huleedu.core.hops import ThreadHops
from huleedu.core.logging import configure_logging, create_service_logger
from huleedu.core.roles import ROLES, modules_of
from huleedu.core.settings import LogLevel, ModuleSettings, Settings
from huleedu.core.settings_sources import LoadedSettings
from huleedu.web.hosts import allowed_hosts
from huleedu.web.metrics_port import serve_metrics

HostOption: TypeAlias = Annotated[str | None, typer.Option(help="Listen on this address.")]
PortOption: TypeAlias = Annotated[
    int | None, typer.Option(help="Listen on this port; 0 takes a free one and logs it.")
]
DataDirOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Keep everything in this folder.")
]
ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
]
LogLevelOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Log from this level on: DEBUG, INFO, WARNING, ERROR.")
]
LogFormatOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Log as json or for a console; as fits stderr if not given.")
]

_logger = create_service_logger("cli")

group = typer.Typer(help="Run the server, whole or some roles of it.", invoke_without_command=True)


@group.callback()
def serve(
    ctx: typer.Context,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Run this role, or several: a,b. May be repeated. There are: {', '.join(ROLES)}."
        ),
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> None:
    """Run the server: `serve all-in-one`, or `serve --role ROLE` over Kafka."""
    options = _options(host, port, data_dir, log_level, log_format)
    if ctx.invoked_subcommand is not None:
        if role or config is not None or any(value is not None for value in options.values()):
            raise WrongUse(
                f"options go behind the command: huleedu serve {ctx.invoked_subcommand} …; "
                "--role goes without it."
            )
        return
    if not role:
        raise WrongUse("say what to serve: `huleedu serve all-in-one`, or --role ROLE.")
    _serve_roles(_known(role), options, config)


@group.command("all-in-one")
def all_in_one(
    host: HostOption = None,
    port: PortOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> None:
    """Run everything in this process, on one port.  Ctrl-C or SIGTERM finish the work in hand."""
    loaded = configuration.load(_options(host, port, data_dir, log_level, log_format), config)
    settings = loaded.settings
    if settings.transport == "kafka":
        raise Misconfigured(
            f"all-in-one carries its messages in memory, but {loaded.origins['transport']} says "
            'transport = "kafka"; over Kafka it is `huleedu serve --role ROLE…`'
        )
    _start_logging(loaded, settings.log_level)
    _warn_if_open([settings.host])
    url = f"http://{settings.host}:{settings.port}" if settings.port else "the address it logs"
    tell_on_terminal(
        f"Starting on {url}, with its data in {settings.data_dir}. Ctrl-C stops it.\n"
        "Once it listens, send it a class from another terminal:\n"
        "  huleedu batch submit FOLDER --course ENG5 --class 9A --watch"
    )
    bound_arenas()
    run_until_signalled(lambda stop: _all_in_one(settings, stop))


async def _all_in_one(settings: Settings, stop: anyio.Event) -> None:
    """Serve until ``stop``, with metrics on a port of their own where one is set."""
    # Here, since it brings every module with it: commands that need none of them start at once.
    from huleedu.app import serve_all_in_one  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        if settings.prometheus_port is not None:
            metrics = serve_metrics(
                settings.host, settings.prometheus_port, ThreadHops(), allowed_hosts(settings)
            )
            metrics_port = await stack.enter_async_context(metrics)
            _logger.info("metrics_listening", url=f"http://{settings.host}:{metrics_port}/metrics")
        await serve_all_in_one(settings, stop, _tell_progress)


def _serve_roles(names: Sequence[str], options: Mapping[str, object], config: Path | None) -> None:
    modules = sorted(modules_of(names))
    loaded = configuration.load(options, config, modules)
    if loaded.settings.transport == "memory":
        raise Misconfigured(
            "roles in processes of their own speak over Kafka, but "
            f'{loaded.origins["transport"]} says transport = "memory"; leave it out, or run '
            "everything in one process with `huleedu serve all-in-one`"
        )
    answering = {ROLES[name].module for name in names if ROLES[name].answers}
    if options["port"] and len(answering) > 1:
        raise WrongUse(
            f"--port is for one module, and {' and '.join(sorted(answering))} each have their own: "
            "set their http_port instead."
        )
    settings = msgspec.structs.replace(loaded.settings, transport="kafka")
    own: list[ModuleSettings] = [getattr(settings, module) for module in modules]
    _start_logging(loaded, _most_telling(settings, own))
    open_to = [getattr(settings, module).http_host or settings.host for module in answering]
    _warn_if_open(sorted(open_to))
    tell_on_terminal(f"Starting {', '.join(names)}. Ctrl-C stops it.")
    bound_arenas()
    run_until_signalled(lambda stop: _roles(settings, names, stop))


async def _roles(settings: Settings, names: Sequence[str], stop: anyio.Event) -> None:
    from huleedu.app import serve_roles  # noqa: PLC0415 - as above

    await serve_roles(settings, names, stop, _tell_progress)


def _known(options: Sequence[str]) -> Sequence[str]:
    """Return each role once; an option names one of them, or several with commas between."""
    names = [name.strip() for option in options for name in option.split(",")]
    unknown = [name for name in dict.fromkeys(names) if name not in ROLES]
    if unknown:
        told = " or ".join(repr(name) for name in unknown)
        raise WrongUse(
            f"there is no role {told}. There are: {', '.join(ROLES)}; "
            "everything in one process is `huleedu serve all-in-one`."
        )
    return list(dict.fromkeys(names))


def _options(
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    log_level: str | None,
    log_format: str | None,
) -> Mapping[str, object]:
    return {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "log_level": log_level,
        "log_format": log_format,
    }


def _start_logging(loaded: LoadedSettings, level: LogLevel) -> None:
    configure_logging(level, loaded.settings.log_format)
    for note in loaded.notes:
        _logger.warning("setting_ignored", note=note)


def _most_telling(settings: Settings, own: Sequence[ModuleSettings]) -> LogLevel:
    """Return the level for a process of these modules: none of them is told less than it wants."""
    levels = [one.log_level or settings.log_level for one in own] or [settings.log_level]
    return min(levels, key=logging.getLevelNamesMapping().__getitem__)


def _tell_progress(doing: str) -> None:
    _logger.info("loading", doing=doing)


def _warn_if_open(hosts: Sequence[str]) -> None:
    for host in dict.fromkeys(hosts):
        if not _is_loopback(host):
            _logger.warning(
                "no_authentication_yet",
                host=host,
                meaning="whoever reaches this address can read and change everything; "
                "keep it behind something that asks who they are",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
