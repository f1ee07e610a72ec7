"""How much of one file is read before it is refused."""

import msgspec


class ExtractionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Caps on what a file may cost; the defaults suit any essay many times over.

    A cap on the unpacked size alone does not help: 2,000,000 empty paragraphs fit in 51 KB.
    """

    text_bytes_max: int = 1_000_000
    """Bytes of UTF-8 of the extracted text."""
    unpacked_bytes_max: int = 25 * 2**20
    """Bytes of all parts read from one .docx, counted while they are inflated."""
    elements_max: int = 1_000_000
    """XML elements of all parts read from one .docx."""
    depth_max: int = 500
    """XML elements open at the same time."""
    members_max: int = 10_000
    """Entries in the directory of a .docx."""
