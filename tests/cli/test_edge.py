"""How a failure ends the program: a sentence on stderr and an exit code, never a traceback."""

import pytest
import typer
from typer.testing import CliRunner

from huleedu.cli.failures import Edge
from huleedu.core.errors import Conflict, HuleEduError, Misconfigured, StoreUnavailable, TaskDied
from tests.cli.program import Ran, run


def _failing(error: BaseException, *options: str) -> Ran:
    failing = typer.Typer(cls=Edge, pretty_exceptions_enable=False)

    @failing.callback()
    def _options(debug: bool = False) -> None:
        pass

    @failing.command()
    def fail() -> None:
        secret = "a secret"  # noqa: F841 - must not be shown
        raise error

    ran = CliRunner().invoke(failing, [*options, "fail"])
    return Ran(ran.exit_code, ran.stdout, ran.stderr)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("The batch is closed. Register another."), 1),
        (Misconfigured("There is no such port. Choose another."), 2),
        (TaskDied("The relay died."), 70),
        (StoreUnavailable("The disk is full. Make room."), 75),
    ],
)
def test_a_failure_that_we_can_explain(error: HuleEduError, code: int) -> None:
    """An error of the tree ends with its exit code, and its own words are all that is said."""

    assert Ran(code, "", f"Error: {error}\n") == _failing(error)


def test_a_bug_of_ours_is_one_line() -> None:
    """Anything else is called what it is, with exit code 70 and without a traceback."""
    ran = _failing(ZeroDivisionError("division by zero"))

    assert ran.code == 70
    assert ran.err.startswith("Error: a bug of ours: ZeroDivisionError: division by zero.")
    assert ran.err.count("\n") == 1


def test_debug_shows_where_and_no_local_variable() -> None:
    """With --debug the traceback comes too, without the values of variables."""
    ran = _failing(ZeroDivisionError("division by zero"), "--debug")

    assert ran.code == 70
    assert "Traceback" in ran.err
    assert "in fail" in ran.err
    assert "'a secret'" not in ran.err.replace('secret = "a secret"', "")


def test_an_interruption_is_not_an_error() -> None:
    """Ctrl-C ends with 130, as shells have it."""

    assert Ran(130, "", "Interrupted.\n") == _failing(KeyboardInterrupt())


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("check",), ("check", ".", "--nonsense"), ("batch", "list", "--limit", "0")],
)
def test_wrong_use_ends_with_2(arguments: tuple[str, ...]) -> None:
    """An unknown command, a missing or a wrong option is told on stderr."""
    ran = run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_the_version_is_shown() -> None:
    """--version prints the name and the version."""
    ran = run("--version")

    assert ran.code == 0
    assert ran.out.startswith("huleedu 0.")
