"""The Essay Lifecycle Service.

Owns: readiness of every batch, the state of every essay, dispatch to phases and their outcome.
Hears: BatchEssaysRegistered, EssayContentReady, the spell-check command, spell-check results.
Says: BatchEssaysReady (once a batch), EssayContentRefused, a spell-check request for each essay,
and the phase's outcome (once an attempt).
"""

from huleedu.els.handlers import subscriptions
from huleedu.els.http import routes
from huleedu.els.references import LocalReferences, RemoteReferences
from huleedu.els.store import MIGRATIONS

__all__ = ["MIGRATIONS", "LocalReferences", "RemoteReferences", "routes", "subscriptions"]
