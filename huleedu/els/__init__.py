"""The Essay Lifecycle Service.

Owns: readiness of every batch and its deadline, the state of every essay, dispatch to phases, their
deadline and their outcome.
Hears: BatchEssaysRegistered, EssayContentReady, what teachers want (BatchReadinessExtended,
BatchProceedRequested, BatchCancelled), the spell-check command, spell-check results.
Says: BatchEssaysReady (once a batch), BatchReadinessTimeout (once a deadline), EssayContentRefused,
a spell-check request for each essay, and the phase's outcome (once an attempt).
"""

from huleedu.els.cancellations import LocalCancellations, RemoteCancellations
from huleedu.els.handlers import subscriptions
from huleedu.els.http import routes
from huleedu.els.references import LocalReferences, RemoteReferences
from huleedu.els.store import MIGRATIONS
from huleedu.els.timekeeper import keep_deadlines

__all__ = [
    "MIGRATIONS",
    "LocalCancellations",
    "LocalReferences",
    "RemoteCancellations",
    "RemoteReferences",
    "keep_deadlines",
    "routes",
    "subscriptions",
]
