"""What decides is pure, and what would make it otherwise is found."""

from pathlib import Path

import pytest

from tests.purity import pure_files, purity_faults

ROOT = Path(__file__).parents[1]
FILES = pure_files(ROOT)
PLANTED = (
    "import os",
    "import time",
    "import asyncio",
    "from random import choice",
    "from uuid import uuid4",
    "from os import environ",
    "from datetime import datetime\ndef decide() -> object:\n    return datetime.now()",
    "import datetime\ndef decide() -> object:\n    return datetime.date.today()",
    "import uuid\ndef decide() -> object:\n    return uuid.uuid4()",
    "def decide(path: str) -> str:\n    return open(path).read()",
    "from pathlib import Path\ndef decide(path: Path) -> str:\n    return path.read_text()",
    "from random import Random\ndef decide() -> float:\n    return Random().random()",
    "async def decide() -> None: ...",
    "_seen = 0\ndef decide() -> None:\n    global _seen\n    _seen += 1",
    "print('decided')",
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to("huleedu").as_posix())
def test_what_is_called_pure_looks_at_nothing_but_its_arguments(file: Path) -> None:
    """No clock, no chance, no environment, no file, nothing to wait for."""
    assert purity_faults((ROOT / file).read_text()) == []


def test_the_decisions_of_every_module_are_among_them() -> None:
    """By their own docstring, by their package's, or by the contract."""
    names = {file.as_posix() for file in FILES}

    assert {f"huleedu/{module}/decide.py" for module in ("bos", "els", "results")} <= names
    assert "huleedu/transport/failures.py" in names  # says so
    assert "huleedu/files/extraction/word_text.py" in names  # its package says so
    assert "huleedu/core/essay_state.py" in names  # the contract says so


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("file", ["huleedu/els/decide.py", "huleedu/transport/failures.py"])
def test_a_look_at_the_world_is_found(file: str, planted: str) -> None:
    """Planted at the end of a file that is pure."""
    source = (ROOT / file).read_text()

    assert purity_faults(f"{source}\n\n{planted}\n") != []


@pytest.mark.parametrize(
    "harmless",
    [
        "from random import Random\ndef decide(one: Random) -> float:\n    return one.random()",
        "from datetime import datetime\ndef decide(now: datetime) -> datetime:\n    return now",
        "from uuid import uuid5",
        "import zipfile\ndef decide(archive: zipfile.ZipFile) -> object:\n"
        "    return archive.open('part')",
    ],
)
def test_what_is_handed_in_is_allowed(harmless: str) -> None:
    """Chance and the moment are arguments, and ids follow from others."""
    assert purity_faults(harmless) == []
