"""The query side: how a batch and its essays stand, live and as files.

Owns: ``results.db``: what was said about each batch, and the stream of its effects.
Hears: every event but the spell-check command.
Says: nothing.
"""

from huleedu.results.handlers import subscriptions
from huleedu.results.http import routes
from huleedu.results.progress import purge_progress
from huleedu.results.schema import MIGRATIONS

__all__ = ["MIGRATIONS", "purge_progress", "routes", "subscriptions"]
