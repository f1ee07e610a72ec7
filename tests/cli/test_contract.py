"""``huleedu contract`` and ``huleedu config``."""

import json
from pathlib import Path

import pytest

from huleedu.core.topics import TOPICS
from tests.cli.program import run


def test_schemas_of_every_event_are_printed() -> None:
    """Every event that has a topic has a schema, under its value."""
    ran = run("contract", "schemas")

    assert ran.code == 0
    assert {event.value for event in TOPICS} == set(json.loads(ran.out))


def test_schemas_are_written_as_files(tmp_path: Path) -> None:
    """--out writes one file for each event."""
    ran = run("contract", "schemas", "--out", tmp_path / "new" / "folder")
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}

    assert (ran.code, ran.out) == (0, "")
    assert {event.value for event in TOPICS} == set(written)
    assert all("$schema" in schema for schema in written.values())


def test_schemas_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """A folder that cannot be made is the caller's to change."""
    (tmp_path / "file").write_text("")
    ran = run("contract", "schemas", "--out", tmp_path / "file" / "below")

    assert ran.code == 2
    assert "--out" in ran.err


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_config_tells_where_a_value_comes_from(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value from a file, one from the environment and a default are told apart."""
    (empty_folder / "own.toml").write_text("port = 5999\n")
    monkeypatch.setenv("HULEEDU_HOST", "127.0.0.2")
    shown = json.loads(run("config", "show", "--json", "--config", "own.toml").out)

    assert shown["port"] == {"value": 5999, "origin": "file own.toml"}
    assert shown["host"] == {"value": "127.0.0.2", "origin": "environment HULEEDU_HOST"}
    assert shown["stop_seconds"]["origin"] == "default"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_config_masks_secrets(
    form: tuple[str, ...], empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is never shown."""
    monkeypatch.setenv("HULEEDU_ROLE_SECRET", "tell-nobody")
    ran = run("config", "show", *form)

    assert ran.code == 0
    assert "role_secret" in ran.out
    assert "tell-nobody" not in ran.out + ran.err


def test_config_that_is_wrong_lists_every_fault(empty_folder: Path) -> None:
    """Unknown keys and impossible values are all told at once, with exit code 2."""
    (empty_folder / "own.toml").write_text('prot = 1\nport = "x"\n')
    ran = run("config", "show", "--config", "own.toml")

    assert (ran.code, ran.out) == (2, "")
    assert "prot" in ran.err
    assert "'x'" in ran.err


def test_the_clients_variable_is_no_setting(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HULEEDU_SERVER is for the client commands; a server started beside it does not mind."""
    monkeypatch.setenv("HULEEDU_SERVER", "http://127.0.0.1:5999")

    assert run("config", "show").code == 0
