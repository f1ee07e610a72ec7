"""Who may import whom: every contract of pyproject.toml is kept, and seen to fail when broken."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
LAYERS = "Layers; modules are strangers to one another"
ONE_TRANSPORT = "Only the composition root picks a transport"
CLIENT_LIBRARY = "Only the Kafka transport knows the client library"
PURE = "Decisions are pure"
WEB = "The web framework stays at the edges"
SPELLCHECK_DOOR = (
    "The front door of spellcheck: three of its modules, as the package imports nothing"
)


class Violation(NamedTuple):
    """An import that a contract forbids, and the file that would do it."""

    contract: str
    file: str
    line: str


def _door_of(module: str) -> str:
    return f"The front door of {module}: others import the package, and nothing in it"


def _import(module: str, inside: str) -> str:
    return f"import huleedu.{module}.{inside}"


VIOLATIONS = [
    # A module knows no other module.
    Violation(LAYERS, "huleedu/els/planted.py", "import huleedu.bos"),
    Violation(LAYERS, "huleedu/bos/planted.py", "import huleedu.els"),
    Violation(LAYERS, "huleedu/results/planted.py", "import huleedu.files"),
    Violation(LAYERS, "huleedu/files/planted.py", "import huleedu.content"),
    Violation(LAYERS, "huleedu/content/planted.py", "import huleedu.spellcheck"),
    Violation(LAYERS, "huleedu/spellcheck/planted.py", "import huleedu.results"),
    # Each layer knows only those below it.
    Violation(LAYERS, "huleedu/core/planted.py", "import huleedu.store"),
    Violation(LAYERS, "huleedu/store/planted.py", "import huleedu.transport"),
    Violation(LAYERS, "huleedu/transport/planted.py", "import huleedu.web"),
    Violation(LAYERS, "huleedu/web/planted.py", "import huleedu.els"),
    Violation(LAYERS, "huleedu/bos/planted.py", "import huleedu.app"),
    Violation(LAYERS, "huleedu/core/planted.py", "import huleedu.cli"),
    # A new folder must be given its place.
    Violation(LAYERS, "huleedu/stray/__init__.py", ""),
    Violation(ONE_TRANSPORT, "huleedu/els/planted.py", "import huleedu.transport.memory"),
    Violation(ONE_TRANSPORT, "huleedu/web/planted.py", "from huleedu.transport import memory"),
    Violation(CLIENT_LIBRARY, "huleedu/els/planted.py", "import aiokafka"),
    Violation(CLIENT_LIBRARY, "huleedu/transport/planted.py", "import aiokafka.errors"),
    Violation(PURE, "huleedu/els/decide.py", "import sqlite3"),
    Violation(PURE, "huleedu/bos/decide.py", "import huleedu.store.outbox"),
    Violation(PURE, "huleedu/els/model.py", "import anyio"),
    Violation(PURE, "huleedu/files/matching.py", "import random"),
    Violation(PURE, "huleedu/core/essay_state.py", "import time"),
    Violation(PURE, "huleedu/core/pipeline_state.py", "import logging"),
    Violation(WEB, "huleedu/core/planted.py", "import litestar"),
    Violation(WEB, "huleedu/store/planted.py", "import rich"),
    Violation(WEB, "huleedu/transport/planted.py", "import uvicorn"),
    # Who wants something of a module asks its package.
    *(
        violation
        for module, inside in (
            ("bos", "decide"),
            ("els", "tracker"),
            ("files", "matching"),
            ("content", "store"),
            ("results", "facts"),
        )
        for violation in (
            Violation(_door_of(module), "huleedu/app/planted.py", _import(module, inside)),
            Violation(_door_of(module), "huleedu/cli/planted.py", _import(module, inside)),
        )
    ),
    Violation(SPELLCHECK_DOOR, "huleedu/app/planted.py", _import("spellcheck", "checker")),
    Violation(SPELLCHECK_DOOR, "huleedu/cli/planted.py", _import("spellcheck", "pool")),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be damaged."""
    shutil.copytree(
        ROOT / "huleedu",
        tmp_path / "huleedu",
        ignore=shutil.ignore_patterns("__pycache__", "dictionaries"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _linted(folder: Path) -> tuple[int, str]:
    """Return the exit code and what import-linter says of the package in a folder."""
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


def _contracts() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


def test_the_package_keeps_its_contracts(copy: Path) -> None:
    """Nothing imports what it must not know."""
    code, said = _linted(copy)

    assert "0 broken" in said
    assert code == 0


def test_every_contract_is_seen_to_fail() -> None:
    """A contract that nothing can break protects nothing: each has a planted violation."""
    assert {violation.contract for violation in VIOLATIONS} == set(_contracts())


def _planted() -> list[ParameterSet]:
    """Return every violation; of each contract all but the first one are for the long run."""
    first = {violation.contract: violation for violation in reversed(VIOLATIONS)}.values()
    return [
        pytest.param(
            violation,
            id=f"{violation.file.removeprefix('huleedu/')}: {violation.line}",
            marks=() if violation in first else pytest.mark.slow,
        )
        for violation in VIOLATIONS
    ]


@pytest.mark.parametrize("violation", _planted())
def test_a_planted_violation_is_found(copy: Path, violation: Violation) -> None:
    """The forbidden import breaks its contract, by name, and the build with it."""
    file = copy / violation.file
    file.parent.mkdir(exist_ok=True)
    before = file.read_text() if file.exists() else '"""Planted."""\n'
    file.write_text(f"{before}\n{violation.line}\n")
    code, said = _linted(copy)

    assert f"{violation.contract} BROKEN" in said
    assert code == 1
