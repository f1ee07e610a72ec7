"""The table of courses: the program's own, or the operator's."""

from pathlib import Path

import pytest

from huleedu.core.courses import load_courses
from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured

OURS = {
    **dict.fromkeys(["SV1", "SV2", "SV3", "SVA1", "SVA2", "SVA3"], Language.SWEDISH),
    **dict.fromkeys(["ENG5", "ENG6", "ENG7"], Language.ENGLISH),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_programs_own_table_is_found_from_anywhere() -> None:
    """Swedish, Swedish as a second language and English, wherever the program is started."""
    assert dict(load_courses(None)) == OURS


def test_the_table_in_the_working_directory_goes_before_it() -> None:
    """An operator who puts a table into config/ replaces the program's."""
    Path("config").mkdir()
    Path("config/courses.toml").write_text('[courses]\nSV1 = "sv"\n', encoding="utf-8")

    assert dict(load_courses(None)) == {"SV1": Language.SWEDISH}


def test_a_named_table_goes_before_all() -> None:
    """The table that the settings name is the one that is read."""
    Path("mine.toml").write_text('[courses]\n"ENG 9" = "en"\n', encoding="utf-8")

    assert dict(load_courses(Path("mine.toml"))) == {"ENG 9": Language.ENGLISH}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[courses]\nA = "de"\nB = 5\n', "A = 'de', B = 5; a language is one of en, sv"),
        ('[courses]\n" " = "sv"\n', "a language is one of"),
        ("[courses]\n", "must have one table"),
        ('ENG5 = "en"\n', "must have one table"),
        ('[courses]\nA = "sv"\n[more]\n', "must have one table"),
        ("courses = 5\n", "must have one table"),
        ("[courses\n", "is not TOML"),
    ],
)
def test_a_wrong_table_is_told(text: str, says: str) -> None:
    """Every fault is named with the file and what is allowed."""
    Path("mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as raised:
        load_courses(Path("mine.toml"))

    assert says in str(raised.value)
    assert "mine.toml" in str(raised.value)


def test_a_missing_table_is_told() -> None:
    """A table that was named must be there."""
    with pytest.raises(Misconfigured, match=r"nowhere\.toml: No such file"):
        load_courses(Path("nowhere.toml"))
