"""The text of a .docx file: from the zip to the main part to its text."""

import posixpath

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.extraction.sniffing import is_encrypted_office, is_zip, looks_like
from huleedu.files.extraction.word_package import WordPackage
from huleedu.files.extraction.word_text import WordText
from huleedu.files.extraction.xml_stream import Attributes, XmlReader

_ROOT_RELATIONS = "_rels/.rels"
_USUAL_MAIN_PART = "word/document.xml"
_RELATIONSHIP = "http://schemas.openxmlformats.org/package/2006/relationships Relationship"
_OFFICE_DOCUMENT = "/relationships/officeDocument"


def read_word_document(name: str, content: bytes, limits: ExtractionLimits) -> str:
    """Return the text of the document, a line per paragraph; see :class:`WordText`.

    Raises:
        Unreadable: mislabelled, encrypted, damaged, doctype, unpacks_too_large, too_complex or
            too_much_text.
    """
    if is_encrypted_office(content):
        raise Unreadable(name, UnreadableReason.ENCRYPTED)
    if not is_zip(content):
        raise _mislabelled(name, _seen_as(content))
    package = WordPackage(name, content, limits)
    xml = XmlReader(name, limits)
    main_part = _main_part(name, package, xml)
    gathered = WordText(name, limits)
    xml.read(package.chunks(main_part), gathered)
    return gathered.whole()


def _main_part(name: str, package: WordPackage, xml: XmlReader) -> str:
    relations = _Relations()
    if _ROOT_RELATIONS in package:
        xml.read(package.chunks(_ROOT_RELATIONS), relations)
    for part in (relations.main_part, _USUAL_MAIN_PART):
        if part and part in package:
            return part
    if "[Content_Types].xml" in package:
        raise Unreadable(name, UnreadableReason.DAMAGED)
    if "mimetype" in package:
        raise _mislabelled(name, "an OpenDocument file or an e-book")
    raise _mislabelled(name, "a zip archive")


class _Relations:
    """Picks the main part out of a package's relationships (ECMA-376 Part 2)."""

    main_part: str | None = None

    def start(self, name: str, attributes: Attributes) -> None:
        if name != _RELATIONSHIP or not attributes.get("Type", "").endswith(_OFFICE_DOCUMENT):
            return
        if attributes.get("TargetMode") != "External":
            self.main_part = posixpath.normpath(attributes.get("Target", "")).lstrip("/")

    def end(self, name: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass


def _mislabelled(name: str, what: str) -> Unreadable:
    detail = f"a Word document inside (it looks like {what})"
    return Unreadable(name, UnreadableReason.MISLABELLED, detail)


def _seen_as(content: bytes) -> str:
    if what := looks_like(content):
        return what
    return "something else" if 0 in content else "plain text"
