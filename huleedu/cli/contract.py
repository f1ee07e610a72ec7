"""``huleedu contract``: what other systems need to speak to this one."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from huleedu.cli.failures import WrongUse
from huleedu.cli.output import print_json, tell
from huleedu.core.schemas import event_schemas

group = typer.Typer(help="What other systems need to speak to this one.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """What other systems need to speak to this one."""


@group.command()
def schemas(
    out: Annotated[
        Path | None,
        typer.Option(help="Write one file for each event into this folder, instead of printing."),
    ] = None,
    json_output: Annotated[  # noqa: ARG001 - schemas are JSON in any case
        bool, typer.Option("--json", help="Print JSON; schemas always are.")
    ] = False,
) -> None:
    """Print the JSON Schema of every event, by the event's value."""
    by_event = event_schemas()
    if out is None:
        print_json(by_event)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for event, schema in by_event.items():
            document = msgspec.json.format(msgspec.json.encode(schema), indent=2)
            (out / f"{event}.json").write_bytes(document + b"\n")
    except OSError as error:
        raise WrongUse(f"cannot write to {out}: {error.strerror}. Choose another --out.") from error
    tell(f"Wrote {len(by_event)} schemas to {out}.")
