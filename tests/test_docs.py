"""What the documents tell the reader to run exists."""

import re
from pathlib import Path

import pytest

from tests.cli.program import run

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "examples/README.md")
_COMMAND = re.compile(
    r"huleedu ((?:serve|check|batch|contract|config|topics|dlq)(?: [a-z][a-z-]+)?)"
)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
_PATH = re.compile(
    r"`((?:huleedu|tests|config|examples|core|els|files|store|transport|web)/[^`…{<*]*)`"
)


def texts() -> str:
    return "\n".join((ROOT / name).read_text() for name in DOCUMENTS)


def commands() -> list[str]:
    found = set(_COMMAND.findall(texts()))
    # `check examples/…` and the like name a file behind the command.
    return sorted({" ".join(w for w in one.split() if w not in ("examples",)) for one in found})


@pytest.mark.parametrize("command", commands())
def test_every_command_in_the_documents_exists(command: str) -> None:
    ran = run(*command.split(), "--help")

    assert ran.code == 0, ran.err


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"`?make ([a-z][a-z-]+)`", texts()))

    assert named <= targets, named - targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    page = ROOT / document
    missing = [to for to in _LINK.findall(page.read_text()) if not (page.parent / to).exists()]

    assert missing == []


def test_every_path_in_the_documents_exists() -> None:
    named = {path.strip() for path in _PATH.findall(texts()) if " " not in path}
    missing = [
        path
        for path in named
        if not (ROOT / path).exists() and not (ROOT / "huleedu" / path).exists()
    ]

    assert missing == []
