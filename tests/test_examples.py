"""The two example classes hold what `examples/README.md` says of them."""

import codecs
import re
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import docx
import pytest
from docx.text.paragraph import Paragraph

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CLASSES = ("eng5", "sv1")
ESSAYS = sorted(path for name in CLASSES for path in (EXAMPLES / name).iterdir())
HEADING_WORDS = 9  # name, class and title are shorter lines than this; the first longer one is text


def document_lines(path: Path) -> list[str]:
    lines: list[str] = []
    for block in docx.Document(str(path)).iter_inner_content():
        if isinstance(block, Paragraph):
            lines.append(block.text)
        else:
            lines += [cell.text for row in block.rows for cell in row.cells]
    return lines


def text_of(path: Path) -> str:
    if path.suffix == ".docx":
        return "\n\n".join(document_lines(path))
    raw = path.read_bytes()
    if raw.startswith(codecs.BOM_UTF16_LE):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252")


def body(path: Path) -> str:
    lines = text_of(path).splitlines()
    start = next(n for n, line in enumerate(lines) if len(line.split()) > HEADING_WORDS)
    return "\n".join(lines[start:])


def sentences(text: str) -> list[str]:
    found = re.split(r"(?<=[.!?])[\"”]?\s+|\n\s*\n", text)
    words = [re.sub(r"\W+", " ", sentence).split() for sentence in found]
    return [" ".join(each).casefold() for each in words if len(each) > 3]


def documented(path: Path) -> tuple[int, int]:
    """Return the numbers of words and of misspelled words that the README gives for a file."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{re.escape(path.name)}` \|[^|]+\| (\d+) \| (\d+) \|", readme, re.M)
    assert row, f"{path.name} is missing in examples/README.md"
    return int(row[1]), int(row[2])


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_hands_in_twelve_essays_half_text_half_word(name: str) -> None:
    """Each class has twelve files: six plain texts and six Word documents or nearly so."""
    kinds = Counter(path.suffix for path in ESSAYS if path.parent.name == name)

    assert kinds.total() == 12
    assert set(kinds) == {".txt", ".docx"}
    assert min(kinds.values()) >= 5


@pytest.mark.parametrize("name", CLASSES)
def test_every_essay_gets_its_own_result_files(name: str) -> None:
    """Results are named by stem, so no two stems of a class are equal, on any file system."""
    stems = [path.stem.casefold() for path in ESSAYS if path.parent.name == name]

    assert len(set(stems)) == len(stems)
    assert all(unicodedata.is_normalized("NFC", stem) for stem in stems)


@pytest.mark.parametrize("path", ESSAYS, ids=lambda path: path.name)
def test_an_essay_has_the_length_of_its_assignment(path: Path) -> None:
    """Without its heading an essay has 250 to 600 words, as many as the README says."""
    words = len(body(path).split())

    assert 250 <= words <= 600
    assert documented(path)[0] == words


@pytest.mark.parametrize("path", ESSAYS, ids=lambda path: path.name)
def test_an_essay_is_clean_text(path: Path) -> None:
    """No control characters but line ends and tabs, and nothing decoded wrongly."""
    text = text_of(path)

    controls = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cn"}}
    assert controls <= {"\n", "\r", "\t"}
    assert not re.search("\ufffd|Ã.|Â|â€", text)
    assert unicodedata.is_normalized("NFC", text)


def test_no_two_essays_share_a_sentence() -> None:
    """Every sentence of four words or more stands in one place only, in both classes together."""
    seen = Counter(sentence for path in ESSAYS for sentence in sentences(body(path)))

    assert seen.total() > 24 * 12
    assert [sentence for sentence, times in seen.items() if times > 1] == []


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_all_kinds_of_spellers(name: str) -> None:
    """Two near-faultless pupils, one weak speller, and the rest with 6 to 20 misspelled words."""
    errors = sorted(documented(path)[1] for path in ESSAYS if path.parent.name == name)

    assert errors[1] <= 2
    assert errors[2] >= 6
    assert errors[10] <= 20
    assert errors[11] > 40


@pytest.mark.parametrize(
    ("path", "mark", "encoding"),
    [
        ("eng5/mobile phones.txt", codecs.BOM_UTF8, "utf-8-sig"),
        ("eng5/Eng essay Maja S.txt", codecs.BOM_UTF16_LE, "utf-16"),
        ("sv1/Insändare (1).txt", codecs.BOM_UTF8, "utf-8-sig"),
        ("sv1/sv1 inlämning.txt", b"", "cp1252"),
    ],
)
def test_texts_from_windows_keep_their_encoding(path: str, mark: bytes, encoding: str) -> None:
    """The four texts from Windows keep byte order mark, encoding and CRLF through checkouts."""
    raw = (EXAMPLES / path).read_bytes()
    text = raw.decode(encoding)

    assert raw.startswith(mark)
    assert text.count("\r\n") == text.count("\n") > 3
    if encoding == "cp1252":
        with pytest.raises(UnicodeDecodeError):
            raw.decode("utf-8")


def test_word_documents_are_built_as_pupils_build_them() -> None:
    """Among them: words split by formatting, a typographic apostrophe, a list, a table, a tab."""
    documents = {path.name: docx.Document(str(path)) for path in ESSAYS if path.suffix == ".docx"}
    paragraphs = [p for document in documents.values() for p in document.paragraphs]
    split = sum(
        left.text[-1:].isalpha() and right.text[:1].isalpha()
        for p in paragraphs
        for left, right in pairwise(p.runs)
    )
    cells = [len(row.cells) for d in documents.values() for t in d.tables for row in t.rows]

    assert split >= 6
    assert cells == [2]
    assert any("’" in p.text for p in paragraphs)
    assert any("\n" in p.text and "\t" in p.text for p in paragraphs)
    assert sum(p.style is not None and p.style.name == "List Number" for p in paragraphs) >= 4
