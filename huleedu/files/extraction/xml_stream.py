"""Reading XML that nobody vouches for: streaming, counted, without document type declarations."""

from collections.abc import Iterable
from typing import Protocol
from xml.parsers import expat

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits

Attributes = dict[str, str]
_ENCODINGS = frozenset({"utf-8", "utf-16", "us-ascii", "iso-8859-1"})  # those that expat knows
_NO_MEMORY = expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]


class XmlHandler(Protocol):
    """What wants to hear of the elements; names are ``namespace local``, parted by a space."""

    def start(self, name: str, attributes: Attributes) -> None:
        """Hear that an element begins."""
        ...

    def end(self, name: str) -> None:
        """Hear that an element ends."""
        ...

    def text(self, data: str) -> None:
        """Hear some of the characters inside the element that is open."""
        ...


class XmlReader:
    """Reads the parts of one file; its element count runs over all of them.

    Raises, from :meth:`read`:
        Unreadable: damaged (not well-formed), doctype or too_complex; and what the handler raises.
    """

    def __init__(self, file_name: str, limits: ExtractionLimits) -> None:
        self._file_name = file_name
        self._limits = limits
        self._elements = 0

    def read(self, chunks: Iterable[bytes], handler: XmlHandler) -> None:
        """Feed one part to the handler, chunk by chunk."""
        parser = self._parser(handler)
        try:
            for chunk in chunks:
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            no_memory = error.code == _NO_MEMORY
            reason = UnreadableReason.TOO_MUCH_MEMORY if no_memory else UnreadableReason.DAMAGED
            raise Unreadable(self._file_name, reason) from error

    def _parser(self, handler: XmlHandler) -> expat.XMLParserType:
        depth = 0
        elements_max, depth_max = self._limits.elements_max, self._limits.depth_max

        def start(name: str, attributes: Attributes) -> None:
            nonlocal depth
            depth += 1
            self._elements += 1
            if self._elements > elements_max:
                self._refuse(f"more than {elements_max:,} elements")
            if depth > depth_max:
                self._refuse(f"more than {depth_max:,} elements inside one another")
            handler.start(name, attributes)

        def end(name: str) -> None:
            nonlocal depth
            depth -= 1
            handler.end(name)

        # Without a document type declaration no entity can be declared, hence none expanded.
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._check_encoding
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = handler.text
        return parser

    def _check_encoding(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """Let no file choose among Python's codecs, of which some decompress."""
        if encoding and encoding.lower() not in _ENCODINGS:
            raise Unreadable(self._file_name, UnreadableReason.DAMAGED)

    def _refuse(self, detail: str) -> None:
        raise Unreadable(self._file_name, UnreadableReason.TOO_COMPLEX, detail)

    def _refuse_doctype(self, *_declared: object) -> None:
        raise Unreadable(self._file_name, UnreadableReason.DOCTYPE)
