"""``huleedu serve``: the program as a server, whole or one role of it."""

import ipaddress
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import anyio
import typer

from huleedu.cli import configuration
from huleedu.cli.failures import WrongUse
from huleedu.cli.output import tell_on_terminal
from huleedu.core.background import BackgroundTasks
from huleedu.core.errors import Misconfigured
from huleedu.core.hops import ThreadHops
from huleedu.core.logging import configure_logging, create_service_logger
from huleedu.core.settings import Settings
from huleedu.web.metrics_port import serve_metrics

ROLES = (
    "bos",
    "bos-worker",
    "els-api",
    "els-worker",
    "files",
    "content",
    "spellcheck-worker",
    "results",
    "topics",
)

_logger = create_service_logger("cli")

group = typer.Typer(help="Run the server, whole or one role of it.", invoke_without_command=True)


@group.callback()
def serve(
    ctx: typer.Context,
    role: Annotated[
        list[str] | None, typer.Option(help=f"Run only this role: {', '.join(ROLES)}.")
    ] = None,
) -> None:
    """Run the server: `serve all-in-one`, or some roles of it."""
    if role:
        for one in role:
            if one not in ROLES:
                raise WrongUse(f"there is no role {one!r}. There are: {', '.join(ROLES)}.")
        raise WrongUse(
            "roles in processes of their own need the Kafka transport, which is not there yet. "
            "Run everything in one process with `huleedu serve all-in-one`."
        )
    if ctx.invoked_subcommand is None:
        raise WrongUse("say what to serve: `huleedu serve all-in-one`, or --role ROLE.")


@group.command("all-in-one")
def all_in_one(
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Listen on this port; 0 takes a free one and logs it.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Keep everything in this folder.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="Log from this level on: DEBUG, INFO, WARNING, ERROR.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="Log as json or for a console; as fits stderr if not given.")
    ] = None,
) -> None:
    """Run everything in this process, on one port.  Ctrl-C or SIGTERM finish the work in hand."""
    options = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "log_level": log_level,
        "log_format": log_format,
    }
    loaded = configuration.load(options, config)
    settings = loaded.settings
    if settings.transport != "memory":
        raise Misconfigured(
            f"the transport {settings.transport!r} is not there yet; all-in-one runs with "
            'transport = "memory"'
        )
    configure_logging(settings.log_level, settings.log_format)
    for note in loaded.notes:
        _logger.warning("setting_ignored", note=note)
    _greet(settings)
    anyio.run(_serve, settings, backend_options={"use_uvloop": True})


async def _serve(settings: Settings) -> None:
    """Serve until a signal says to stop, with metrics on a port of their own where one is set."""
    # Here, since it brings every module with it: commands that need none of them start at once.
    from huleedu.app import serve_all_in_one  # noqa: PLC0415

    stop = anyio.Event()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(BackgroundTasks(on_death=stop.set))
        tasks.start("signals", lambda: _stop_on_signal(stop))
        if settings.prometheus_port is not None:
            metrics = serve_metrics(settings.host, settings.prometheus_port, ThreadHops())
            metrics_port = await stack.enter_async_context(metrics)
            _logger.info("metrics_listening", url=f"http://{settings.host}:{metrics_port}/metrics")
        await serve_all_in_one(settings, stop, lambda doing: _logger.info("loading", doing=doing))


async def _stop_on_signal(stop: anyio.Event) -> None:
    """Set ``stop`` at SIGTERM or Ctrl-C; a second Ctrl-C ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set() and number == signal.SIGINT:
                # Nothing said is lost: what counts is on disk, and the locks go with the process.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
            if not stop.is_set():
                tell_on_terminal("Finishing the work in hand. Ctrl-C again ends it at once.")
            stop.set()


def _greet(settings: Settings) -> None:
    if not _is_loopback(settings.host):
        _logger.warning(
            "no_authentication_yet",
            host=settings.host,
            meaning="whoever reaches this address can read and change everything; "
            "keep it behind something that asks who they are",
        )
    url = f"http://{settings.host}:{settings.port}" if settings.port else "the address it logs"
    tell_on_terminal(
        f"Starting on {url}, with its data in {settings.data_dir}. Ctrl-C stops it.\n"
        "Once it listens, send it a class from another terminal:\n"
        "  huleedu batch submit FOLDER --course ENG5 --class 9A --watch"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
