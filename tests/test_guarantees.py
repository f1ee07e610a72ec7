"""What docs/guarantees.md claims is checked by tests that exist, in the numbers it gives."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_ENDURANCE = "tests/endurance/__main__.py"
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_NUMBER = re.compile(r"`(tests/[\w/]+\.py)::([A-Z_]+)` = ([\d,]+)")
_TARGET = re.compile(r"`make ([a-z-]+)")
_OPTION = re.compile(r"`make (?:endurance|faults) (?:ONLY|ROWS)=([\w-]+)`")


def defined_in(path: str) -> Mapping[str, ast.expr | None]:
    """Return what a file defines at its top, constants with their values."""
    found: dict[str, ast.expr | None] = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[node.name] = None
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
    return found


@pytest.mark.parametrize(("path", "name"), sorted(set(_NAMED.findall(PAGE))))
def test_every_check_that_is_named_exists(path: str, name: str) -> None:
    """No promise rests on a test that was renamed or taken away."""
    assert name in defined_in(path)


@pytest.mark.parametrize(("path", "name", "number"), sorted(set(_NUMBER.findall(PAGE))))
def test_every_number_of_runs_is_the_one_in_the_tests(path: str, name: str, number: str) -> None:
    """Whoever makes a test smaller changes what is claimed."""
    value = defined_in(path)[name]

    assert isinstance(value, ast.Constant)
    assert value.value == int(number.replace(",", ""))


def test_every_command_that_is_named_exists() -> None:
    """The larger sizes can be run as they are written there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    sources = [(ROOT / name).read_text() for name in ("tests/faults/rows.py", _ENDURANCE)]

    assert set(_TARGET.findall(PAGE)) <= targets
    for option in _OPTION.findall(PAGE):
        assert any(f'"{option}"' in source for source in sources), option


def test_every_row_of_a_table_has_a_check() -> None:
    """A promise that no test checks is none."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "promise |" not in line]

    assert len(rows) > 30
    assert [row for row in rows if not _NAMED.search(row)] == []
