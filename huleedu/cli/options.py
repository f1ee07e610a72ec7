"""Options that several commands have, and the server that they speak to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from huleedu.cli.client import PATIENCE_SECONDS, ServerClient, connected
from huleedu.cli.configuration import SERVER_VARIABLE
from huleedu.cli.failures import WrongUse
from huleedu.cli.output import tell
from huleedu.core.platform import Platform

DEFAULT_SERVER = "http://127.0.0.1:5000"

BatchArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="BATCH_ID", help="Id of the batch.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ServerOption: TypeAlias = Annotated[
    str, typer.Option(envvar=SERVER_VARIABLE, help="Where the server is, as a URL.")
]
PatienceOption: TypeAlias = Annotated[
    float,
    typer.Option(min=0.0, help="Try for this many seconds when the server does not answer."),
]
CourseOption: TypeAlias = Annotated[
    str, typer.Option(help="Course of the essays, which tells their language: ENG5, SV1.")
]
ClassOption: TypeAlias = Annotated[str, typer.Option("--class", help="Name of the class: 9A.")]
InstructionsOption: TypeAlias = Annotated[
    str | None, typer.Option(help="What the pupils were asked to write.")
]
InstructionsFileOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Read the instructions from this file, in UTF-8.")
]
ReadinessTimeoutOption: TypeAlias = Annotated[
    float | None, typer.Option(help="Wait for the texts for this many seconds; 24 hours else.")
]


@dataclass(frozen=True)
class Server:
    """Which server to ask, and for how long."""

    url: str = DEFAULT_SERVER
    patience_seconds: float = PATIENCE_SECONDS

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[ServerClient, Platform]]:
        """Speak to the server; whoever waits is told why, and for how long."""

        def on_retry(why: str, seconds: float) -> None:
            tell(f"{why.rstrip('.')}.\nTrying again for up to {seconds:g} seconds.")

        platform = Platform()
        async with connected(
            self.url, platform, patience_seconds=self.patience_seconds, on_retry=on_retry
        ) as client:
            yield client, platform


def instructions_from(text: str | None, file: Path | None) -> str | None:
    """Return the instructions of whichever option was given; None without either.

    Raises ``WrongUse`` when both were, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise WrongUse("give --instructions or --instructions-file, not both.")
    if file is None:
        return text
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise WrongUse(f"{file} is not text in UTF-8. Save it as that.") from error
