"""The life of batches in the pure rules, one message at a time: what the store must agree with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from huleedu.core.clock import to_text
from huleedu.core.enums import EssayStatus, ProcessingEvent
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.core.ids import derived_event_id
from huleedu.els.decide import (
    accepts_command,
    cancel,
    extend,
    is_progress,
    overdue,
    proceed,
    register,
    settles,
    take,
    time_out,
)
from huleedu.els.model import BatchView, Content, EssayView, PhaseView, Registration, Text

ESSAYS = {"b1": ("e1", "e2"), "b2": ("e2",), "b3": ("e3", "e1", "e2")}
STRANGER = "e4"
READINESS = timedelta(hours=2)
PHASE = timedelta(minutes=15)

EVENT = ProcessingEvent.BATCH_READINESS_TIMEOUT

Said = tuple[object, ...]


@dataclass
class Life:
    """One batch: what readiness sees, its essays, and its phase."""

    batch_id: str
    view: BatchView
    essays: dict[str, EssayView] = field(default_factory=dict)
    attempt: int = 0
    dispatched: datetime | None = None
    progressed: datetime | None = None
    over: bool = False
    """Whether nothing of the phase is waited for."""

    @property
    def waiting(self) -> list[str]:
        target = EssayStatus.SPELLCHECK_FAILED
        return [
            essay_id
            for essay_id, essay in self.essays.items()
            if essay.status in StateTransitionValidator.sources(target)
        ]

    def status(self, essay_id: str) -> EssayStatus:
        """Return what a registered essay is, also one without a text."""
        if essay_id in self.essays:
            return self.essays[essay_id].status
        if self.view.closed:
            return EssayStatus.CONTENT_INGESTION_FAILED
        if self.view.cancelled:
            return EssayStatus.ESSAY_CRITICAL_FAILURE
        return EssayStatus.UPLOADED

    def move(self, essay_id: str, target: EssayStatus, attempt: int | None = None) -> None:
        essay = self.essays[essay_id]
        assert StateTransitionValidator.is_legal(essay.status, target)
        moved = replace(essay, status=target, attempt=attempt or essay.attempt)
        self.essays[essay_id] = moved


class Lives:
    """Folds the decisions; every method returns what is said."""

    def __init__(self) -> None:
        self.of = {batch: Life(batch, BatchView(batch_id=batch)) for batch in ESSAYS}

    def register(self, batch: str, now: datetime) -> list[Said]:
        life = self.of[batch]
        decision = register(life.view, Registration(batch, ESSAYS[batch], now + READINESS))
        life.view = decision.view
        for essay_id in decision.dropped:
            del life.essays[essay_id]
        refused = [("refused", batch, r.essay_id, r.reason.value) for r in decision.refused]
        return [*refused, *self._ready(life, became_ready=decision.became_ready)]

    def content(self, batch: str, essay_id: str, storage_id: str) -> list[Said]:
        life = self.of[batch]
        decision = take(life.view, [Content(batch, essay_id, Text(storage_id))])
        life.view = decision.view
        for kept in decision.kept:
            life.essays.setdefault(kept, EssayView(EssayStatus.READY_FOR_PROCESSING, 0))
        refused = [("refused", batch, r.essay_id, r.reason.value) for r in decision.refused]
        return [*refused, *self._ready(life, became_ready=decision.became_ready)]

    def extend(self, batch: str, deadline: datetime) -> list[Said]:
        life = self.of[batch]
        life.view = extend(life.view, deadline).view
        return []

    def proceed(self, batch: str) -> list[Said]:
        life = self.of[batch]
        decision = proceed(life.view)
        life.view = decision.view
        return self._ready(life, became_ready=decision.became_ready)

    def cancel(self, batch: str) -> list[Said]:
        life = self.of[batch]
        decision = cancel(life.view)
        life.view = decision.view
        if not decision.skipped:
            target = EssayStatus.ESSAY_CRITICAL_FAILURE
            for essay_id, essay in life.essays.items():
                if StateTransitionValidator.is_legal(essay.status, target):
                    life.move(essay_id, target)
        return []

    def command(self, batch: str, attempt: int, now: datetime) -> list[Said]:
        life = self.of[batch]
        if life.view.cancelled or not accepts_command(life.attempt, attempt):
            return []
        requested: list[Said] = []
        for essay_id in ESSAYS[batch]:
            essay = life.essays.get(essay_id)
            target = EssayStatus.AWAITING_SPELLCHECK
            if essay and StateTransitionValidator.is_legal(essay.status, target):
                life.move(essay_id, target, attempt)
                requested.append(("requested", batch, essay_id, attempt))
        life.attempt, life.over = attempt, False
        life.dispatched = life.progressed = now
        return [*requested, *self._conclude(life)]

    def result(
        self, batch: str, essay_id: str, status: EssayStatus, attempt: int | None, now: datetime
    ) -> list[Said]:
        life = self.of[batch]
        essay = life.essays[essay_id]
        about = essay.attempt if attempt is None else attempt
        if is_progress(essay, about):
            life.progressed = now
            life.essays[essay_id] = replace(essay, answered=about)
        if not settles(life.essays[essay_id], status, attempt):
            return []
        life.move(essay_id, status)
        return self._conclude(life)

    def tick(self, now: datetime) -> list[Said]:
        said: list[Said] = []
        for batch, life in self.of.items():
            after = time_out(life.view, now)
            if after is not None:
                there = tuple(e for e in ESSAYS[batch] if e in life.essays)
                assert life.view.deadline is not None
                name = derived_event_id(EVENT.value, batch, to_text(life.view.deadline))
                said.append(("timed out", batch, name, there))
                life.view = after
        phases = [
            PhaseView(batch, life.dispatched, life.progressed, not life.over)
            for batch, life in self.of.items()
            if life.dispatched is not None and life.progressed is not None
        ]
        for batch in overdue(phases, now, PHASE):
            life = self.of[batch]
            for essay_id in life.waiting:
                life.move(essay_id, EssayStatus.SPELLCHECK_FAILED)
            said += self._conclude(life)
            life.over = True
        return said

    def _ready(self, life: Life, *, became_ready: bool) -> list[Said]:
        if not became_ready:
            return []
        there = tuple(e for e in ESSAYS[life.batch_id] if e in life.essays)
        return [("ready", life.batch_id, there)]

    def _conclude(self, life: Life) -> list[Said]:
        if life.waiting or life.over or life.view.cancelled:
            return []
        life.over = True
        good: Sequence[str] = [
            e for e in ESSAYS[life.batch_id]
            if life.status(e) is EssayStatus.SPELLCHECKED_SUCCESS
        ]  # fmt: skip
        bad = [e for e in ESSAYS[life.batch_id] if e not in good]
        return [("outcome", life.batch_id, life.attempt, tuple(good), tuple(bad))]
