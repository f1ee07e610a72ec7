"""The index: what it finds, and that its file is built once, whole, and anew when damaged."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured
from huleedu.spellcheck import index
from huleedu.spellcheck.dictionary import Dictionary
from huleedu.spellcheck.word_index import Entry, Index, Progress, decode, deletes, index_of

WORDS = ["which", "with", "witch", "don't", "English", "skön", "a"]
ENTRIES = [Entry(word, 7.0 - number) for number, word in enumerate(WORDS)]
LETTERS = st.sampled_from("abcå'")


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary(Language.ENGLISH)


class Builder:
    """Builds a small index and counts how often it is asked to."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.built = 0
        self._before = before

    def __call__(self, _dictionary: Dictionary, progress: Progress) -> Index:
        self._before()
        self.built += 1
        progress("building")
        return index_of(ENTRIES)


@given(st.lists(st.text(LETTERS, min_size=1, max_size=10), unique=True), st.data())
def test_every_word_within_two_edits_is_found(words: list[str], data: st.DataObject) -> None:
    """Whatever two letters are lost, added or changed, the word that was meant is among those
    found, the most frequent first."""
    found_in = decode(index_of([Entry(word, 9.0 - n) for n, word in enumerate(words)]).encode())
    for meant in words[:3]:
        written = list(meant)
        for _ in range(data.draw(st.integers(0, 2))):
            place = data.draw(st.integers(0, len(written)))
            written[place : place + data.draw(st.integers(0, 1))] = data.draw(
                st.lists(LETTERS, max_size=1)
            )
        found = [entry.word for entry in found_in.near("".join(written))]
        assert meant in found
        assert found == sorted(found, key=words.index)


def test_a_word_shares_its_deletes_with_its_neighbours() -> None:
    """Up to two letters are left out of the first seven."""
    assert {"abc", "ab", "ac", "bc", "a", "b", "c"} == deletes("abc")
    assert deletes("abcdefg") == deletes("abcdefghij")


def test_an_index_is_built_once_and_then_read(tmp_path: Path, dictionary: Dictionary) -> None:
    """The second load reads what the first wrote, and says nothing."""
    builder = Builder()
    lines: list[str] = []
    first = index.load(dictionary, progress=lines.append, directory=tmp_path, build=builder)
    said = len(lines)
    second = index.load(dictionary, progress=lines.append, directory=tmp_path, build=builder)

    assert builder.built == 1
    assert 0 < said == len(lines)
    assert list(first.near("wich")) == list(second.near("wich"))
    assert first.encode() == second.encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: b"\xff" * len(content),
    ],
    ids=["empty", "cut short", "longer", "one bit", "noise"],
)
def test_a_damaged_index_is_built_anew(
    tmp_path: Path, dictionary: Dictionary, damage: Callable[[bytes], bytes]
) -> None:
    """Not one wrong bit is taken for an index."""
    builder = Builder()
    index.load(dictionary, directory=tmp_path, build=builder)
    path = index.index_path(Language.ENGLISH, tmp_path)
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    index.load(dictionary, directory=tmp_path, build=builder)

    assert builder.built == 2
    assert sound == path.read_bytes()


def test_two_that_want_the_same_index_build_it_once(tmp_path: Path, dictionary: Dictionary) -> None:
    """The second waits, says that it does, and then reads what the first has built."""
    waits = threading.Event()
    second_builder = Builder()

    def second() -> None:
        index.load(
            dictionary,
            progress=lambda line: waits.set() if "waiting" in line else None,
            directory=tmp_path,
            build=second_builder,
        )

    thread = threading.Thread(target=second)

    def start_the_second() -> None:
        thread.start()
        assert waits.wait(10)

    first_builder = Builder(start_the_second)
    index.load(dictionary, directory=tmp_path, build=first_builder)
    thread.join(10)

    assert not thread.is_alive()
    assert (first_builder.built, second_builder.built) == (1, 0)


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path, dictionary: Dictionary) -> None:
    """A half-built index is never read; the next one builds."""

    def fail() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.load(dictionary, directory=tmp_path, build=Builder(fail))
    builder = Builder()
    index.load(dictionary, directory=tmp_path, build=builder)

    assert builder.built == 1
    assert not list(tmp_path.glob("*.partial"))


def test_a_directory_that_cannot_be_written_is_named(
    tmp_path: Path, dictionary: Dictionary
) -> None:
    """The operator hears which directory it is, and of the setting that names another."""
    taken = tmp_path / "file"
    taken.write_text("not a directory")

    with pytest.raises(Misconfigured, match="HULEEDU_CACHE_DIR"):
        index.load(dictionary, directory=taken / "cache", build=Builder())


def test_the_cache_directory_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """HULEEDU_CACHE_DIR goes before XDG_CACHE_HOME, and that before the home directory."""
    monkeypatch.delenv("HULEEDU_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Path.home() / ".cache" / "huleedu" == index.cache_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", "/users")
    assert Path("/users/huleedu") == index.cache_directory()
    monkeypatch.setenv("HULEEDU_CACHE_DIR", "/own")
    assert Path("/own") == index.cache_directory()


@pytest.mark.parametrize(
    ("language", "right", "wrong"),
    [
        (Language.ENGLISH, ["colour", "color", "don't", "London"], ["london", "calender", "dont"]),
        (Language.SWEDISH, ["skolbibliotekarie", "väldigt", "osv"], ["veldigt", "intresant"]),
    ],
)
def test_dictionaries_accept_what_is_right(
    language: Language, right: list[str], wrong: list[str]
) -> None:
    """American and British English both, compounds, and none of the known mistakes."""
    accepted = Dictionary(language)

    assert right == [word for word in (*right, *wrong) if accepted.accepts(word)]
