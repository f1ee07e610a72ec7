"""``huleedu check``: the whole way in one process."""

import json
import tempfile
from pathlib import Path

import pytest

from tests.cli.program import run

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = "I definately think that the goverment should listen to us.\r\nIt is importent.\r\n"
CORRECTED = "I definitely think that the government should listen to us.\r\nIt is important.\r\n"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary stores are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    """Two essays of one name, one with markup in its name, a broken one and no essay."""
    folder = tmp_path / "essays"
    folder.mkdir()
    (folder / "anna.txt").write_bytes(TEXT.encode())
    (folder / "Anna.TXT").write_bytes(b"All is well here.")
    (folder / "[red]x.txt").write_bytes(b"All is well here.")
    (folder / "broken.docx").write_bytes(b"no document")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    return folder


def test_good_essays_are_corrected_beside_a_broken_one(
    essays: Path, tmp_path: Path, temporary: Path
) -> None:
    """Every file is told of, outputs never share a name, nothing stays behind, exit code 1."""
    out = tmp_path / "out"
    ran = run("check", essays, "--course", "ENG5", "--out", out, "--json")
    told = {Path(one["file"]).name: one for one in json.loads(ran.out)["essays"]}
    anna = told["anna.txt"]
    log = json.loads(Path(anna["log_file"]).read_bytes())

    assert ran.code == 1
    assert told["broken.docx"]["status"] == "failed"
    assert "broken.docx" in told["broken.docx"]["error"]
    assert Path(anna["corrected_file"]).read_bytes().decode() == CORRECTED
    assert anna["corrections"] + anna["flagged"] == len(log["corrections"])
    assert {"Anna.txt", "anna (2).txt", "[red]x.txt"} == {one.name for one in out.glob("*.txt")}
    assert "written as" in ran.err
    assert "notes.pdf" in ran.err
    assert list(temporary.iterdir()) == []


def test_the_table_shows_names_as_they_are(essays: Path, temporary: Path) -> None:
    """A file name is never taken for markup; data is on stdout, words on stderr."""
    ran = run("check", essays / "[red]x.txt", "--course", "ENG5")

    assert ran.code == 0
    assert "[red]x.txt" in ran.out
    assert "1 of 1 essays checked" in ran.err


def test_an_essay_is_not_overwritten_by_its_correction(essays: Path) -> None:
    """An output that would take the place of an input is refused before any work."""
    ran = run("check", essays, "--course", "ENG5", "--out", essays)

    assert (ran.code, ran.out) == (2, "")
    assert "would be overwritten" in ran.err
    assert (essays / "anna.txt").read_bytes() == TEXT.encode()


def test_an_unknown_course_names_those_that_exist(essays: Path) -> None:
    """The course decides the language, so there is no guessing it."""
    ran = run("check", essays, "--course", "FRA1")

    assert (ran.code, ran.out) == (2, "")
    assert "ENG5" in ran.err
    assert "SV1" in ran.err


def test_too_many_essays_are_refused_at_once(essays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More essays than a batch may have are told with the limit."""
    monkeypatch.setenv("HULEEDU_LIMITS_ESSAYS_PER_BATCH", "3")
    ran = run("check", essays, "--course", "ENG5")

    assert (ran.code, ran.out) == (2, "")
    assert "one batch may have 3" in ran.err


def test_only_broken_files_end_with_1(essays: Path, temporary: Path) -> None:
    """Where no file can be read there is nothing to wait for."""
    ran = run("check", essays / "broken.docx", "--course", "ENG5")

    assert ran.code == 1
    assert "broken.docx" in ran.out
    assert "0 of 1 essays checked" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "course"), [("eng5", "ENG5"), ("sv1", "SV1")])
def test_the_example_classes_are_checked(folder: str, course: str, temporary: Path) -> None:
    """Every essay of both classes is corrected, and words are left for the teacher's eye."""
    ran = run("check", EXAMPLES / folder, "--course", course, "--json")
    essays = json.loads(ran.out)["essays"]

    assert (ran.code, len(essays)) == (0, 12)
    assert all(one["status"] == "corrected" for one in essays)
    assert sum(one["corrections"] for one in essays) > 50
    assert sum(one["flagged"] for one in essays) > 0
