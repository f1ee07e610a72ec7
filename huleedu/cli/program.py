"""The program ``huleedu``: its command groups, put together."""

from typing import Annotated

import typer

from huleedu import __version__
from huleedu.cli import batch, check, config, contract, dlq, serve, topics
from huleedu.cli.failures import Edge
from huleedu.cli.output import print_text

# Without typer's tracebacks: they show local variables, and those hold secrets and texts.
program = typer.Typer(
    name="huleedu",
    cls=Edge,
    help="A class of essays from registration to spell-checked results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
program.add_typer(serve.group, name="serve")
program.command("check")(check.check)
program.add_typer(batch.group, name="batch")
program.add_typer(topics.group, name="topics")
program.add_typer(dlq.group, name="dlq")
program.add_typer(contract.group, name="contract")
program.add_typer(config.group, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        print_text(f"huleedu {__version__}")
        raise typer.Exit


@program.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program an error came from.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """A class of essays from registration to spell-checked results."""


def main() -> None:
    """Run the command line of this process; ends it with the command's exit code."""
    program()
