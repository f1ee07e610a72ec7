"""The bytes of an uploaded file → its text: pure, bounded, and never trusting the file.

``extract`` is the whole of it; :mod:`huleedu.files.sandbox` runs it where it can do no harm.
"""

from huleedu.files.extraction.extract import extract
from huleedu.files.extraction.limits import ExtractionLimits

__all__ = ["ExtractionLimits", "extract"]
