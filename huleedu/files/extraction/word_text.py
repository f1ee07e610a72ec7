"""The text of a WordprocessingML document, as its reader sees it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.extraction.xml_stream import Attributes

# ECMA-376 Part 1: transitional documents (what Word writes) and strict ones.
_NAMESPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_CHOICES = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_ROOTS = {f"{namespace} document" for namespace in _NAMESPACES}
_OTHER_ROOTS = {"workbook": "an Excel workbook", "presentation": "a PowerPoint presentation"}
_CHARACTERS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"}
_SYMBOL = re.compile("[0-9A-Fa-f]{4}")
_LEFT_OUT = (
    "moveFrom",  # moved away; what w:moveTo holds is read
    "tabs",  # tab stops of a paragraph, made of w:tab as tabs are
    "pPrChange",
    "rt",  # the small letters over a ruby text
)


@dataclass
class _Story:
    """A sequence of paragraphs: the document's, or that of a text box."""

    lines: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    mark_deleted: bool = False

    def end_paragraph(self) -> None:
        """A deleted paragraph mark joins the paragraph with the next one."""
        if not self.mark_deleted:
            self._end_line()
        self.mark_deleted = False

    def end(self) -> None:
        if self.line or self.aside:
            self._end_line()

    def _end_line(self) -> None:
        self.lines.append("".join(self.line))
        self.line.clear()
        self.lines.extend(self.aside)
        self.aside.clear()


class WordText:
    """Gathers the text from the elements of the main part; see :class:`XmlHandler`.

    A paragraph is a line, also in a table, cell by cell.  The text of a text box follows the
    paragraph that it is anchored in.  Insertions are read and deletions are not; neither are field
    codes, placeholders of empty content controls, notes, comments, headers and footers.

    Raises:
        Unreadable: mislabelled (the root is no Word document's) or too_much_text.
    """

    def __init__(self, file_name: str, limits: ExtractionLimits) -> None:
        self._file_name = file_name
        self._text_bytes_max = limits.text_bytes_max
        self._text_bytes = 0
        self._stories = [_Story()]
        self._rooted = False
        self._skipping = 0  # elements open since one that is left out
        self._in_text = False
        self._in_paragraph_properties = False
        self._placeholder = False
        self._choices: list[int] = []  # per open mc:AlternateContent: the text bytes before it
        self._starts, self._ends = self._actions()

    def _actions(
        self,
    ) -> tuple[dict[str, Callable[[Attributes], None]], dict[str, Callable[[], None]]]:
        starts: dict[str, Callable[[Attributes], None]] = {
            "t": self._start_text,
            "pPr": self._start_paragraph_properties,
            "del": self._start_deletion,
            "txbxContent": self._start_text_box,
            "sdt": self._start_control,
            "showingPlcHdr": self._see_placeholder,
            "sdtContent": self._start_control_content,
            "sym": self._add_symbol,
        }
        starts |= {local: self._adds(character) for local, character in _CHARACTERS.items()}
        starts |= dict.fromkeys(_LEFT_OUT, self._skip)
        starts["moveFrom"] = self._start_deletion
        ends: dict[str, Callable[[], None]] = {
            "t": self._end_text,
            "pPr": self._end_paragraph_properties,
            "p": self._end_paragraph,
            "tc": self._end_cell,
            "txbxContent": self._end_text_box,
        }
        both = (
            {f"{space} {local}": start for space in _NAMESPACES for local, start in starts.items()},
            {f"{space} {local}": end for space in _NAMESPACES for local, end in ends.items()},
        )
        both[0][f"{_CHOICES} AlternateContent"] = self._start_alternatives
        both[0][f"{_CHOICES} Choice"] = self._start_alternative
        both[0][f"{_CHOICES} Fallback"] = self._start_alternative
        both[1][f"{_CHOICES} AlternateContent"] = self._end_alternatives
        return both

    def whole(self) -> str:
        """Return the text, its lines parted by line feeds; call it once, after the last element."""
        story = self._stories[0]
        story.end()
        return "\n".join(story.lines)

    def start(self, name: str, attributes: Attributes) -> None:
        """Hear that an element begins."""
        if self._skipping:
            self._skipping += 1
        elif action := self._starts.get(name):
            action(attributes)
        elif not self._rooted:
            self._check_root(name)

    def end(self, name: str) -> None:
        """Hear that an element ends."""
        if self._skipping:
            self._skipping -= 1
        elif action := self._ends.get(name):
            action()

    def text(self, data: str) -> None:
        """Hear characters; only those inside ``w:t`` are the writer's."""
        if self._in_text and not self._skipping:
            self._add(data)

    def _check_root(self, name: str) -> None:
        if name not in _ROOTS:
            what = _OTHER_ROOTS.get(name.rpartition(" ")[2], "another kind of document")
            detail = f"a Word document inside (it looks like {what})"
            raise Unreadable(self._file_name, UnreadableReason.MISLABELLED, detail)
        self._rooted = True

    def _skip(self, _attributes: Attributes) -> None:
        self._skipping = 1

    def _count(self, text_bytes: int) -> None:
        self._text_bytes += text_bytes
        if self._text_bytes > self._text_bytes_max:
            detail = f"{self._text_bytes_max:,} bytes"
            raise Unreadable(self._file_name, UnreadableReason.TOO_MUCH_TEXT, detail)

    def _add(self, data: str) -> None:
        self._count(len(data.encode()))
        self._stories[-1].line.append(data)

    def _adds(self, character: str) -> Callable[[Attributes], None]:
        def add(_attributes: Attributes) -> None:
            self._add(character)

        return add

    def _add_symbol(self, attributes: Attributes) -> None:
        """Add ``w:sym`` unless its code means something in one symbol font only."""
        for namespace in _NAMESPACES:
            code = attributes.get(f"{namespace} char", "")
            if _SYMBOL.fullmatch(code) and chr(int(code, 16)).isprintable():
                self._add(chr(int(code, 16)))

    def _start_text(self, _attributes: Attributes) -> None:
        self._in_text = True

    def _end_text(self) -> None:
        self._in_text = False

    def _start_paragraph_properties(self, _attributes: Attributes) -> None:
        self._in_paragraph_properties = True

    def _end_paragraph_properties(self) -> None:
        self._in_paragraph_properties = False

    def _start_deletion(self, attributes: Attributes) -> None:
        if self._in_paragraph_properties:
            self._stories[-1].mark_deleted = True
        self._skip(attributes)

    def _end_paragraph(self) -> None:
        self._count(1)
        self._stories[-1].end_paragraph()

    def _end_cell(self) -> None:
        self._stories[-1].end()

    def _start_text_box(self, _attributes: Attributes) -> None:
        self._stories.append(_Story())

    def _end_text_box(self) -> None:
        box = self._stories.pop()
        box.end()
        self._stories[-1].aside.extend(box.lines)

    def _start_control(self, _attributes: Attributes) -> None:
        self._placeholder = False

    def _see_placeholder(self, _attributes: Attributes) -> None:
        self._placeholder = True

    def _start_control_content(self, attributes: Attributes) -> None:
        if self._placeholder:
            self._skip(attributes)
        self._placeholder = False

    def _start_alternatives(self, _attributes: Attributes) -> None:
        self._choices.append(self._text_bytes)

    def _start_alternative(self, attributes: Attributes) -> None:
        """Read the first alternative that has text: Word writes an emoji's in the fallback."""
        if self._choices and self._text_bytes > self._choices[-1]:
            self._skip(attributes)

    def _end_alternatives(self) -> None:
        self._choices.pop()
