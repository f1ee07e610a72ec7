"""Extraction without a process of its own."""

from huleedu.files.extraction import ExtractionLimits, extract


class ExtractInline:
    """Extraction in this very process: where a test is not about the children."""

    def __init__(self, limits: ExtractionLimits) -> None:
        self._limits = limits

    async def __call__(self, name: str, content: bytes) -> str:
        """Return the text; the event loop waits meanwhile.  Raises ``Unreadable``."""
        return extract(name, content, self._limits)
