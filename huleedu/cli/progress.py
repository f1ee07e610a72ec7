"""Progress on a terminal; silence where nobody watches."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from huleedu.cli.output import messages_console


class Steps:
    """One line that tells what is being done, and how much of it is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def doing(self, what: str, done: int = 0, total: int | None = None) -> None:
        """Show ``what``, with ``done`` of ``total``; without ``total`` its end is not known."""
        self._progress.update(self._task, description=what, completed=done, total=total)


@contextmanager
def steps() -> Iterator[Steps]:
    """Show one line of progress on stderr until the block is left, then remove it."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=messages_console(),
        transient=True,
        redirect_stdout=False,  # data is no message
        disable=not sys.stderr.isatty(),
    )
    with progress:
        yield Steps(progress)
