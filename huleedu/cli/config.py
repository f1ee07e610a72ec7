"""``huleedu config``: which settings apply, and why."""

from pathlib import Path
from typing import Annotated

import typer

from huleedu.cli import configuration
from huleedu.cli.output import print_json, print_table, tell
from huleedu.core.settings_sources import shown

group = typer.Typer(help="Which settings apply, and why.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Which settings apply, and why."""


@group.command()
def show(
    config: Annotated[
        Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each setting, its value and where that comes from; secrets are masked."""
    loaded = configuration.load({}, config)
    for note in loaded.notes:
        tell(f"Note: {note}.")
    lines = shown(loaded)
    if json_output:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in lines})
    else:
        print_table(
            ["Setting", "Value", "From"],
            [[key, _in_words(value), origin] for key, value, origin in lines],
        )


def _in_words(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
