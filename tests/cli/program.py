"""The program as it is run from a shell, in this process."""

from dataclasses import dataclass

from typer.testing import CliRunner

from huleedu.cli.program import program


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def run(*arguments: object) -> Ran:
    """Run ``huleedu`` with these arguments; no streams are terminals."""
    ran = CliRunner().invoke(program, [str(one) for one in arguments])
    return Ran(ran.exit_code, ran.stdout, ran.stderr)
