"""Files made to hurt: each small to upload, and costly, broken or not what it says."""

import zipfile
from collections.abc import Callable

from huleedu.files.errors import UnreadableReason as Reason
from tests.files.documents import (
    document_xml,
    paragraph,
    relations,
    word_document,
    word_parts,
    written,
    zipped,
)

GOOD = word_document(paragraph("Once upon a time there was an essay."))
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


def _laughs() -> bytes:
    entities = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "ha">' for n in range(10)
    )
    document = document_xml(paragraph("&l9;"))
    head, rest = document.split("?>", 1)
    return zipped(word_parts(f"{head}?><!DOCTYPE d [{entities}]>{rest}"))


def _external_entity() -> bytes:
    document = document_xml(paragraph("&x;"))
    head, rest = document.split("?>", 1)
    return zipped(
        word_parts(f'{head}?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>{rest}')
    )


def _wrong_sum() -> bytes:
    content = bytearray(zipped(word_parts(document_xml(paragraph("Hej"))), zipfile.ZIP_STORED))
    content[content.index(b"Hej")] ^= 1
    return bytes(content)


def _locked_member() -> bytes:
    """Set the flag "encrypted" of the main part, in its header and in the directory."""
    content = bytearray(GOOD)
    header = content.index(b"word/document.xml") - 30
    entry = content.rindex(b"word/document.xml") - 46
    content[header + 6] |= 1
    content[entry + 8] |= 1
    return bytes(content)


def _lying_size(unpacked_bytes: int) -> bytes:
    """Let the directory say another unpacked size of the main part."""
    content = bytearray(GOOD)
    entry = content.rindex(b"word/document.xml") - 46
    content[entry + 24 : entry + 28] = unpacked_bytes.to_bytes(4, "little")
    return bytes(content)


def _other_office(root: str, namespace: str) -> bytes:
    parts = {"_rels/.rels": relations("x/x.xml"), "x/x.xml": f'<{root} xmlns="{namespace}"/>'}
    return zipped({"[Content_Types].xml": "<Types/>", **parts})


def _with_document(document: str | bytes) -> Callable[[], bytes]:
    return lambda: zipped(word_parts(document))


SPREADSHEETML = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PRESENTATIONML = "http://schemas.openxmlformats.org/presentationml/2006/main"

WORD_FILES: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "empty": (lambda: b"", Reason.EMPTY_FILE),
    "no text": (lambda: word_document("<w:p/>" * 50), Reason.NO_TEXT),
    "PDF": (lambda: b"%PDF-1.7\n...", Reason.MISLABELLED),
    "program": (lambda: b"MZ\x90\0" + bytes(500), Reason.MISLABELLED),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), Reason.MISLABELLED),
    "plain text": (lambda: b"I only renamed it.", Reason.MISLABELLED),
    "old Word": (lambda: OLE + "WordDocument".encode("utf-16-le"), Reason.MISLABELLED),
    "PDF before a docx": (lambda: b"%PDF-1.7\n" + GOOD, Reason.MISLABELLED),
    "zip": (lambda: zipped({"a.jpg": b"..."}), Reason.MISLABELLED),
    "no member": (lambda: zipped({}), Reason.MISLABELLED),
    "OpenDocument": (
        lambda: zipped({"mimetype": "application/vnd.oasis.opendocument.text"}),
        Reason.MISLABELLED,
    ),
    "Excel": (lambda: _other_office("workbook", SPREADSHEETML), Reason.MISLABELLED),
    "PowerPoint": (lambda: _other_office("presentation", PRESENTATIONML), Reason.MISLABELLED),
    "password": (lambda: OLE + "EncryptedPackage".encode("utf-16-le"), Reason.ENCRYPTED),
    "locked member": (_locked_member, Reason.ENCRYPTED),
    "truncated": (lambda: GOOD[: len(GOOD) // 2], Reason.DAMAGED),
    "wrong checksum": (_wrong_sum, Reason.DAMAGED),
    "says it unpacks to less": (lambda: _lying_size(20), Reason.DAMAGED),
    "says it unpacks to 4 GiB": (lambda: _lying_size(2**32 - 2), Reason.UNPACKS_TOO_LARGE),
    "bzip2": (
        lambda: zipped(word_parts(document_xml(paragraph("Hej"))), zipfile.ZIP_BZIP2),
        Reason.DAMAGED,
    ),
    "no main part": (lambda: zipped({"[Content_Types].xml": "<Types/>"}), Reason.DAMAGED),
    "no XML": (_with_document(b"\0\1\2\3"), Reason.DAMAGED),
    "XML cut off": (_with_document(document_xml(paragraph("Hej"))[:-20]), Reason.DAMAGED),
    "character 0": (_with_document(document_xml(paragraph("&#0;"))), Reason.DAMAGED),
    "unknown encoding": (
        _with_document(document_xml(paragraph("a")).replace("UTF-8", "klingon")),
        Reason.DAMAGED,
    ),
    "no text encoding": (
        _with_document(document_xml(paragraph("a")).replace("UTF-8", "zlib")),
        Reason.DAMAGED,
    ),
    "billion laughs": (_laughs, Reason.DOCTYPE),
    "external entity": (_external_entity, Reason.DOCTYPE),
    "zip bomb": (
        _with_document(document_xml(" " * 100_000_000)),
        Reason.UNPACKS_TOO_LARGE,
    ),
    "bomb in the relations": (
        lambda: zipped({"_rels/.rels": b" " * 100_000_000, "word/document.xml": b""}),
        Reason.UNPACKS_TOO_LARGE,
    ),
    "bomb in two parts": (
        lambda: zipped(
            word_parts(document_xml(" " * 15_000_000))
            | {"_rels/.rels": relations() + " " * 15_000_000}
        ),
        Reason.UNPACKS_TOO_LARGE,
    ),
    "2,000,000 empty paragraphs": (
        lambda: word_document("<w:p/>" * 2_000_000),
        Reason.TOO_COMPLEX,
    ),
    "200,000 nested elements": (
        lambda: word_document("<w:sdt>" * 200_000 + "</w:sdt>" * 200_000),
        Reason.TOO_COMPLEX,
    ),
    "20,000 members": (
        lambda: zipped({f"m{n}": b"" for n in range(20_000)}, zipfile.ZIP_STORED),
        Reason.TOO_COMPLEX,
    ),
    "a book": (lambda: word_document(paragraph("word " * 300) * 1_000), Reason.TOO_MUCH_TEXT),
    "a tag of 20 MB": (
        _with_document(document_xml(f'<w:p w:x="{" " * 20_000_000}"/>')),
        Reason.NO_TEXT,
    ),
}
"""By name: what makes the file, and the reason for which it is refused as a .docx."""

REAL = written("A real document, as python-docx writes it.")
