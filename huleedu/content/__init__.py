"""Immutable texts, each stored once under an id that follows from its bytes.

Owns: ``content.db``, one row a text.
Hears: nothing.
Says: nothing; other roles put and get texts, in process or over HTTP with the role secret.
"""

from huleedu.content.client import LocalContent
from huleedu.content.http import routes
from huleedu.content.identity import content_bytes_max, storage_id_of
from huleedu.content.remote import RemoteContent, SecretRefused
from huleedu.content.store import MIGRATIONS, DamagedContent, DifferentContent

__all__ = [
    "MIGRATIONS",
    "DamagedContent",
    "DifferentContent",
    "LocalContent",
    "RemoteContent",
    "SecretRefused",
    "content_bytes_max",
    "routes",
    "storage_id_of",
]
