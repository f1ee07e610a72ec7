"""The names of uploaded files: made harmless, and what they tell."""

import re
import unicodedata

NAME_BYTES_MAX = 255
"""What the usual file systems allow for one name, in bytes of UTF-8."""

UNNAMED = "unnamed"

STUDENT_NAME_LENGTH_MAX = 200
"""Characters, as the contract limits ``student_name``."""

_MOODLE = re.compile(r"^(?P<student>[^_]+)_\d+_assignsubmission_file")
_PARTICLES = frozenset(
    {"af", "al", "da", "de", "del", "den", "der", "di", "el", "la", "van", "von"}
)
# Words that begin with a capital in the titles and labels that pupils and systems give to files.
_LABELS = """
a about all an analys analysis analytical and application are argumentation argumentative
argumenterande as assignment at att av berättelse bok bokanalys book brev by change class climate
copy dagbok debatt debattartikel del den det diary discussion document dokument draft en eng
engelska english essay ett exam exposé final från färdig färdigt för första global group grupp
hand har hem hembygd holiday home homework how i important in inlämning insändare interview
intervju is it jag kap kapitel klar klart klass kopia krönika kåseri la ledare letter life
lämna mall man media miljö min mitt my name namn namnlös namnlöst narrative nature new novell
noveller ny nytt när och of oinlämnad om on opinion original our part persuasive presentation
project projekt prov på question questions rapport reading recension referat reflection reflektion
renskriven report resumé review rättad sammanfattning scan school second short sista skola
slutlig slutversion social some sommar sommarlov speech story submission summary summer sv svar
svenska swedish tal task temp template test text that the this titel title to turnitin un unnamed
untitled uppdrag uppgift uppgiften uppsats uppsatser utan utkast utredande utredning vad version
vetenskaplig vi vår war we what who why with word world writing year är år
"""
_NOT_NAMES = frozenset(_LABELS.split())


def clean_file_name(raw: str) -> str:
    """Return a name that is safe to show, to log and to store as data.

    No folders (of either kind of slash), no control or invisible formatting characters, composed
    (NFC), at most 255 bytes of UTF-8 with its ending kept; ``unnamed`` when nothing is left.
    """
    name = unicodedata.normalize("NFC", raw.encode("utf-8", "ignore").decode("utf-8"))
    # Zl, Zp: line and paragraph separators; Cf: among others what turns the writing direction.
    visible = "".join(
        letter for letter in name if unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"}
    )
    last = visible.replace("\\", "/").rpartition("/")[2].strip()
    if not last.strip("."):
        return UNNAMED
    stem, dot, ending = last.rpartition(".")
    if not dot or len(last.encode()) <= NAME_BYTES_MAX or len(ending.encode()) > 16:
        return _cut(last, NAME_BYTES_MAX)
    return _cut(stem, NAME_BYTES_MAX - len(ending.encode()) - 1) + dot + ending


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode("utf-8", "ignore")


def ending_of(name: str) -> str:
    """Return what follows the last dot, in lower case: ``docx``; empty when there is no dot."""
    return name.strip().rpartition(".")[2].lower() if "." in name else ""


def stem_of(name: str) -> str:
    """Return the name without folders and without its last ending, composed (NFC)."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2].strip()
    stem, dot, _ending = last.rpartition(".")
    return (stem if dot else last).strip()


def student_name_from(file_name: str) -> str | None:
    """Return the student that a file is clearly named after, else ``None``.

    ``Anna Lindqvist.txt``, ``Anna_Lindqvist.docx``, ``Lindqvist, Anna.docx``,
    ``Anna Lindqvist - essay 2.docx`` and Moodle's
    ``Anna Lindqvist_4711_assignsubmission_file_text.docx`` all give ``Anna Lindqvist``.  A wrong
    name under a text is worse than none: what may as well be a title gives ``None``.
    """
    stem = stem_of(file_name)
    if moodle := _MOODLE.match(stem):
        return _as_student(moodle["student"])
    if stem.count("_") > 1:
        return None  # some scheme of its own
    parts = [part for part in re.split(r"\s+[-–—]\s+", stem.replace("_", " ")) if part.strip()]
    students = [student for part in parts if (student := _as_student(part))]
    return students[0] if len(students) == 1 else None


def _as_student(text: str) -> str | None:
    family, comma, given = text.partition(",")
    words = f"{given} {family}".split() if comma else text.split()
    if not 2 <= len(words) <= 4 or len(text) > STUDENT_NAME_LENGTH_MAX:
        return None
    if any(word.casefold() in _NOT_NAMES and word not in _PARTICLES for word in words):
        return None
    outer, inner = (words[0], words[-1]), words[1:-1]
    if comma and words[-1] in _PARTICLES:
        return None
    if not all(_is_name(word) for word in outer):
        return None
    if not all(word in _PARTICLES or _is_name(word) for word in inner):
        return None
    return " ".join(words)


def _is_name(word: str) -> bool:
    """Tell whether a word is written as a name is: Anna, Anna-Karin, Jean-luc, O'Brien, McKay."""
    first, *others = re.split("['’-]", word)
    return (
        len(word) > 1
        and _is_capitalised(first)
        and all(_is_capitalised(other) or other.islower() for other in others)
    )


def _is_capitalised(part: str) -> bool:
    return part.isalpha() and part.removeprefix("Mc").istitle()
