"""What a file is by its first bytes, whatever its name says."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"

# Signatures: Gary Kessler's table of file signatures and the formats' own specifications.
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (_ZIP, "a zip archive or an office document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (_OLE, "an old Word document (.doc)"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF87a", "a picture"),
    (b"GIF89a", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"{\\rtf", "a rich text document (.rtf)"),
    (b"Rar!\x1a\x07", "a compressed archive"),
    (b"7z\xbc\xaf\x27\x1c", "a compressed archive"),
    (b"\x1f\x8b\x08", "a compressed archive"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
)


def is_zip(content: bytes) -> bool:
    """Tell whether the first bytes are those of a zip file, as every .docx is one."""
    return content.startswith(_ZIP)


def is_encrypted_office(content: bytes) -> bool:
    """Tell whether this is a password-protected .docx: an OLE file with an EncryptedPackage.

    Source: [MS-OFFCRYPTO] 2.3.4.4; names in an OLE directory are UTF-16 little endian.
    """
    return content.startswith(_OLE) and "EncryptedPackage".encode("utf-16-le") in content


def looks_like(content: bytes) -> str | None:
    """Return what the bytes are known to begin, in plain words; ``None`` when unknown."""
    for signature, what in _SIGNATURES:
        if content.startswith(signature):
            return what
    head = content[:4096]
    # Two letters that an essay may begin with, too: only with the zero bytes no text has.
    if head.startswith(b"MZ") and 0 in head:
        return "a program"
    if (head.startswith(b"BM") and 0 in head) or head[4:8] == b"ftyp" or head[8:12] == b"WEBP":
        return "a picture or a film"
    return None
