"""Which files a command works on, and what is written for each."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import gather, output_stems


def _folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).write_text("An essay.")
    return tmp_path


def test_a_folder_gives_its_essays_in_order(tmp_path: Path) -> None:
    """A folder's .txt and .docx are taken, sorted; hidden files are not, others are told."""
    folder = _folder(tmp_path, "b.txt", "a.DOCX", ".c.txt", "~$a.docx", "d.pdf")
    (folder / "e").mkdir()

    found = gather([folder])

    assert [one.name for one in found.files] == ["a.DOCX", "b.txt"]
    assert [path.name for path in found.left_out] == ["d.pdf", "e"]


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    """What a file is, the server judges; the client sends what it was told to."""
    folder = _folder(tmp_path, "d.pdf")

    assert [one.name for one in gather([folder / "d.pdf"]).files] == ["d.pdf"]


def test_a_file_that_is_named_twice_is_one_essay(tmp_path: Path) -> None:
    """A file counts once, also when its folder is named too."""
    folder = _folder(tmp_path, "a.txt", "b.txt")

    assert [one.name for one in gather([folder / "b.txt", folder]).files] == ["b.txt", "a.txt"]


def test_a_path_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    """A mistyped name stops the command before it does anything."""
    with pytest.raises(WrongUse, match=r"no file or folder .*nowhere"):
        gather([_folder(tmp_path, "a.txt"), tmp_path / "nowhere.txt"])


def test_a_folder_without_essays_is_wrong_use(tmp_path: Path) -> None:
    """A command with nothing to work on says so."""
    with pytest.raises(WrongUse, match=r"no essay in"):
        gather([_folder(tmp_path, "a.pdf")])


def test_equal_names_are_numbered() -> None:
    """Two files of one name never share an output, and a number never takes another's name."""
    names = ["a.txt", "a.docx", "A.txt", "a (2).txt", "b.v2.txt"]

    assert output_stems(names) == ["a", "a (3)", "A (4)", "a (2)", "b.v2"]


@given(st.lists(st.sampled_from("aA") | st.text("aÅå (2)", min_size=1), max_size=8))
def test_no_two_outputs_are_one_file(stems: list[str]) -> None:
    """Outputs differ even where a file system knows no capitals and no composed letters."""
    given_out = output_stems([f"{stem}.txt" for stem in stems])
    keys = [unicodedata.normalize("NFC", stem).casefold() for stem in given_out]

    assert len(stems) == len(set(keys))
