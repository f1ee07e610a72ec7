"""``huleedu batch``: classes of essays on a server."""

import typer

group = typer.Typer(help="Classes of essays on a server.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Classes of essays on a server."""


@group.command()
def x() -> None:
    """x"""
