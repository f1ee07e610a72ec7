"""``huleedu batch`` where there is no server, and wishes that cannot be granted."""

import pytest

from tests.cli.program import run


def test_no_server_ends_with_75() -> None:
    """Where nothing answers, the command says what to do and that it may be tried again."""
    ran = run("batch", "list", "--server", "http://127.0.0.1:1", "--patience", "0.3")

    assert (ran.code, ran.out) == (75, "")
    assert "huleedu serve all-in-one" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("results", "b", "--format", "zip"),
        ("results", "b", "--out", "x"),
        ("results", "b", "--json", "--format", "csv"),
        ("register", "--course", "SV1", "--class", "9", "--instructions", "x"),
        ("register", "--course", "SV1", "--class", "9", "--essay-id", "a"),
        ("list", "--server", "nonsense"),
        ("extend", "b"),
        ("extend", "b", "--by", "2h", "--deadline", "2099-01-12T08:00Z"),
        ("extend", "b", "--by", ""),
        ("extend", "b", "--by", "2 hours"),
        ("extend", "b", "--by", "h"),
        ("extend", "b", "--deadline", "tomorrow"),
        ("extend", "b", "--deadline", "2099-01-12T08:00"),
        ("extend", "b", "--deadline", "0001-01-01T00:00+14:00"),
    ],
)
def test_wishes_that_do_not_fit_together_are_wrong_use(arguments: tuple[str, ...]) -> None:
    """Nothing is sent when the options contradict one another or leave something open."""
    ran = run("batch", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: ")
