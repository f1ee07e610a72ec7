"""Where words go: data to stdout, everything else to stderr, and nothing foreign as markup.

File names, ids and what a server says come from outside.  They are printed as plain text: no
markup of rich is read in them, and no control character reaches the terminal.
"""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 160


def printable(text: str) -> str:
    """Return ``text`` with line breaks kept and every other unprintable character as ``�``."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def tell(message: str) -> None:
    """Print a message for whoever sits at the terminal, on stderr."""
    messages_console().print(Text(printable(message)), soft_wrap=True)


def tell_on_terminal(message: str) -> None:
    """Print a message for people: only where stderr is a terminal, so that logs stay logs."""
    if sys.stderr.isatty():
        tell(message)


def messages_console() -> Console:
    """Return the console of stderr, as it is now."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


def print_text(text: str) -> None:
    """Print a line of data on stdout."""
    _data_console().print(Text(printable(text)), soft_wrap=True)


def print_json(value: object) -> None:
    """Print anything that msgspec can encode as indented JSON on stdout, and nothing else."""
    print_json_bytes(msgspec.json.encode(value))


def print_json_bytes(document: bytes) -> None:
    """Print a JSON document, indented, on stdout; not one character of it is changed."""
    sys.stdout.write(msgspec.json.format(document, indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their columns on stdout; numbers stand at the right, None is a dash."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int) for row in rows)
        table.add_column(
            name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _data_console().print(table)


def _cell(value: object) -> Text:
    if value is None:
        return Text("–", style="dim")
    return Text(f"{value:,}" if isinstance(value, int) else printable(str(value)))


def _data_console() -> Console:
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
