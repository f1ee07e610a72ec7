"""The Batch Orchestrator.

Owns: what a batch was registered with, what teachers wish of it, the state of its pipelines.
Hears: BatchEssaysReady, BatchReadinessTimeout, SpellcheckResult, ELSBatchPhaseOutcome.
Says: BatchEssaysRegistered, the spell-check command, BatchReadinessExtended,
BatchProceedRequested, BatchCancelled; for its smoke test EssayContentReady.
"""

from huleedu.bos.accepted import LocalAccepted
from huleedu.bos.answers import answer_migrations, purge_answers
from huleedu.bos.handlers import subscriptions
from huleedu.bos.http import routes
from huleedu.bos.schema import batch_migrations
from huleedu.bos.stall_gauge import watch_for_stalls
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.store.positions import position_migrations

MIGRATIONS = (
    batch_migrations,
    answer_migrations,
    outbox_migrations,
    handled_migrations,
    position_migrations,
    outbox_identity_migrations,
)
"""What the store of BOS consists of."""

__all__ = [
    "MIGRATIONS",
    "LocalAccepted",
    "purge_answers",
    "routes",
    "subscriptions",
    "watch_for_stalls",
]
