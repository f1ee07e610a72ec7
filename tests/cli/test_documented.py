"""Every command and every option says what it is for."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from huleedu.cli.program import program

EXPECTED = {
    "dlq list",
    "dlq show",
    "dlq replay",
    "dlq discard",
    "topics bootstrap",
    "topics list",
    "serve all-in-one",
    "check",
    "batch register",
    "batch upload",
    "batch status",
    "batch list",
    "batch watch",
    "batch results",
    "batch submit",
    "batch extend",
    "batch proceed",
    "batch cancel",
    "batch retry",
    "contract schemas",
    "config show",
}


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, child in getattr(command, "commands", {}).items():
        yield from _commands(child, f"{name} {inner}".strip())


COMMANDS = dict(_commands(get_command(program)))


def test_every_command_is_there() -> None:
    """The program has the commands that it is documented with."""

    assert set(COMMANDS) >= EXPECTED


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name: str) -> None:
    """A command's help is a whole sentence."""
    text = (COMMANDS[name].help or "").strip()

    assert text.partition("\n")[0].endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_says_what_it_is_for(name: str) -> None:
    """The help of every option and argument is a whole sentence."""
    shells_own = {"install_completion", "show_completion"}
    told = {one.name: one.help for one in COMMANDS[name].params if one.name not in shells_own}

    assert {option: text for option, text in told.items() if not str(text).endswith(".")} == {}


@pytest.mark.parametrize("name", sorted(EXPECTED - {"serve all-in-one", "check", "batch submit"}))
def test_data_can_be_had_as_json(name: str) -> None:
    """Every command that prints data has --json."""
    options = [flag for one in COMMANDS[name].params for flag in one.opts]

    assert "--json" in options
