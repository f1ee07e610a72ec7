"""What reaches the terminal, and what does not."""

import json

import pytest

from huleedu.cli.output import print_json, print_table, printable, tell


def test_a_name_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets in a file name are printed as they are, in tables and messages."""
    print_table(["File"], [["[red]a[/red].txt"]])
    tell("[bold]x :smile: [link=http://evil]y[/link]")
    ran = capsys.readouterr()

    assert "[red]a[/red].txt" in ran.out
    assert ran.err == "[bold]x :smile: [link=http://evil]y[/link]\n"


@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\r", "\u202e", "\udcff", "\x9b"])
def test_no_control_character_reaches_the_terminal(letter: str) -> None:
    """A file name or a server's word cannot steer the terminal."""

    assert printable(f"a{letter}b") == "a�b"


def test_data_is_on_stdout_and_words_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads stdout reads data only."""
    tell("A message.")
    print_json({"name": "Åsa [b] \x1b"})
    ran = capsys.readouterr()

    assert json.loads(ran.out) == {"name": "Åsa [b] \x1b"}
    assert ran.err == "A message.\n"


def test_a_long_name_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal sets a width, a row is one line that a script can read."""
    print_table(["File", "Words"], [["x" * 100, 1_234]])

    assert capsys.readouterr().out.split() == ["File", "Words", "x" * 100, "1,234"]
