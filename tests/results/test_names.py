"""Names of downloads."""

import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import EssayStatus
from huleedu.results.model import EssayView
from huleedu.results.names import content_disposition, safe_stem, unique_stems

ANY_NAME = st.none() | st.text(max_size=300) | st.sampled_from(["a.txt", "A.docx", "con", "..", ""])


def essay(essay_id: str, file_name: str | None) -> EssayView:
    return EssayView(
        essay_id=essay_id,
        status=EssayStatus.SPELLCHECKED_SUCCESS,
        status_text="Checked",
        attempt=1,
        file_name=file_name,
    )


@pytest.mark.parametrize(
    ("file_name", "stem"),
    [
        ("Åsa Öberg.docx", "Åsa Öberg"),
        ("../../etc/passwd.txt", "passwd"),
        ("C:\\essays\\anna.v2.txt", "anna.v2"),
        ("a<b>:c?.txt", "a_b__c_"),
        ("evil\u202etxt.exe", "eviltxt"),
        ("line\r\nbreak.txt", "linebreak"),
        ("nul.txt", "_nul"),
        ("LPT1.draft.txt", "_LPT1.draft"),
        ("COM¹.txt", "_COM¹"),
        ("lpt³ .draft.txt", "_lpt³ .draft"),
        ("CONIN$.txt", "_CONIN$"),
        ("conout$", "_conout$"),
        ("Prn. . .txt", "_Prn"),
        ("COM10.txt", "COM10"),
        ("Conny.txt", "Conny"),
        (".bashrc", ""),
        ("no ending", "no ending"),
        ("x" * 300 + ".txt", "x" * 100),
        (None, ""),
    ],
)
def test_a_file_name_becomes_harmless(file_name: str | None, stem: str) -> None:
    """What a file system or a terminal could take amiss is gone, the rest stays."""
    assert safe_stem(file_name) == stem


@given(st.lists(ANY_NAME, max_size=12))
def test_names_are_safe_and_each_there_once(file_names: list[str | None]) -> None:
    """Every essay has a name of its own, whatever its file was called."""
    essays = [essay(f"essay {n}", file_name) for n, file_name in enumerate(file_names)]

    stems = unique_stems(essays)

    assert len({stem.casefold() for stem in stems}) == len(essays)
    for stem in stems:
        assert stem
        assert not set(stem) & set('/\\<>:"|?*\r\n\0')
        assert stem.strip(". ") == stem
        assert len(f"{stem}.json".encode()) <= 255
        assert stem.casefold() not in {"results", "errors"}


# As Windows has them, whatever ending, dots and spaces follow.
DEVICES = [
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
    *(f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"),
]


@given(
    st.sampled_from(DEVICES).flatmap(lambda name: st.sampled_from([name, name.lower()])),
    st.sampled_from(["", " ", "  ", ".", " .", ". ", ".tar", ".a.b", " .a"]),
    st.sampled_from([".txt", ".docx", "", "."]),
)
def test_no_name_is_a_device_of_windows(device: str, behind: str, ending: str) -> None:
    """Neither a file's nor an essay's: Windows opens a device instead of the file."""
    for stem in (
        *unique_stems([essay("1", f"{device}{behind}{ending}")]),
        *unique_stems([essay(f"{device}{behind}", None)]),
    ):
        first = f"{stem}.txt".partition(".")[0].rstrip()
        assert first.upper() not in DEVICES
        assert device in stem


def test_alike_names_get_a_number() -> None:
    """Two files of one name, in whatever capitals, and one named like ours, stay apart."""
    named = [essay("1", "Essay.txt"), essay("2", "essay.docx"), essay("3", "Results.txt")]

    assert unique_stems([*named, essay("4", None)]) == ["Essay", "essay (2)", "Results (2)", "4"]


@given(st.text(max_size=200))
def test_a_download_is_named_in_one_header_line(stem: str) -> None:
    """No batch id breaks out of the header; the exact name can be read from it."""
    try:
        stem.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair never leaves the decoder of a message

    header = content_disposition(stem, "csv")

    assert header.isascii()
    assert header.isprintable()
    plain, exact = header.removeprefix('attachment; filename="').split("\"; filename*=UTF-8''")
    assert set(plain) <= set(string.ascii_letters + string.digits + "._-")
    assert unquote(exact) == f"{stem[:100]}.csv"
