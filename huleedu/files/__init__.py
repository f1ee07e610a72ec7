"""Upload and text extraction: files of a class become the texts of its essays.

Owns: the essays that each batch expects, and which file is whose essay, in every version.
Hears: BatchEssaysRegistered, EssayContentRefused, BatchProceedRequested, BatchCancelled.
Says: EssayContentReady, once for each version of an essay's text.
"""

from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.handlers import subscriptions
from huleedu.files.http import routes
from huleedu.files.sandbox import ExtractInChild
from huleedu.files.store import MIGRATIONS

__all__ = ["MIGRATIONS", "ExtractInChild", "ExtractionLimits", "routes", "subscriptions"]
