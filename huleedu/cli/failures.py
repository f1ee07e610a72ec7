"""The edge of the program: how every failure is told, and with which exit code it ends."""

import errno
import logging
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from huleedu.cli.output import tell
from huleedu.core.errors import HuleEduError, Misconfigured

BUG = 70
INTERRUPTED = 130
"""128 + SIGINT, as shells have it; SIGTERM ends a short-lived command in the same way."""


class WrongUse(Misconfigured):
    """The command was called in a way in which it cannot do its work."""


class Edge(TyperGroup):
    """The whole program as one command: its failures end here, each as one sentence on stderr.

    Wrong use that typer sees itself is told by typer, with exit code 2.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command; never raises but what typer itself ends a program with."""
        debug = bool(ctx.params.get("debug"))
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except HuleEduError as error:
            _told(error, f"Error: {error}", debug)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            tell("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        # Besides the HTTP edge and the delivery loop the one place that may catch everything:
        # whoever sits at a terminal is owed a sentence and an exit code, not a traceback.
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: typer ends quietly
            what = ": ".join(filter(None, [type(error).__name__, str(error)]))
            _told(error, f"Error: a bug of ours: {what}. `huleedu --debug …` shows where.", debug)
            raise typer.Exit(BUG) from None


def _told(error: Exception, message: str, debug: bool) -> None:
    if debug or logging.getLogger().getEffectiveLevel() <= logging.DEBUG:
        tell("".join(traceback.format_exception(error)))
    tell(message)
