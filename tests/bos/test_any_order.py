"""The state of a batch's pipelines, whatever is heard and done, in any order and repetition."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from huleedu.bos.acting import ActionRefused, take
from huleedu.bos.actions import Action, Cancel, Extend, Proceed, Retry
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.decide import STATUS_AFTER
from huleedu.bos.handlers import apply
from huleedu.bos.model import CLOSED, Batch
from huleedu.bos.registration import new_batch
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import BatchStatus, PipelineExecutionStatus, ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.message import Message
from huleedu.core.messages import BatchServiceSpellcheckInitiateCommandDataV1
from huleedu.core.topics import event_on
from tests.bos.building import (
    COURSES,
    FAILED,
    PARTIAL,
    SUCCESS,
    body,
    essays_ready,
    phase_outcome,
    readiness_timeout,
    said_in,
    store_in_memory,
)
from tests.support.builders import AT, CORRELATION, hear, spellcheck_result

ESSAYS = ("a", "b", "c")
BATCH_ID = "batch"
S = BatchStatus
RETRIABLE = (S.COMPLETED_WITH_FAILURES, S.FAILED_CRITICALLY)
ENDS = {*STATUS_AFTER.values(), S.CANCELLED}
MOVES: Mapping[BatchStatus, set[BatchStatus]] = {
    # An outcome, and a result with the readiness, may be heard in one fetch or overtake it.
    S.AWAITING_CONTENT_VALIDATION: {
        S.READY_FOR_PIPELINE_EXECUTION,
        S.PROCESSING_PIPELINES,
        S.CONTENT_INGESTION_FAILED,
        *ENDS,
    },
    S.READY_FOR_PIPELINE_EXECUTION: {S.PROCESSING_PIPELINES, *ENDS},
    S.PROCESSING_PIPELINES: ENDS,
    S.COMPLETED_WITH_FAILURES: {S.PROCESSING_PIPELINES},
    S.FAILED_CRITICALLY: {S.PROCESSING_PIPELINES},
}
DETAIL_OF = {status: detail for detail, status in STATUS_AFTER.items()} | {
    S.READY_FOR_PIPELINE_EXECUTION: PipelineExecutionStatus.DISPATCH_INITIATED,
    S.CONTENT_INGESTION_FAILED: PipelineExecutionStatus.SKIPPED_DUE_TO_DEPENDENCY_FAILURE,
}

some_essays = st.sets(st.sampled_from(ESSAYS))


class BatchMachine(RuleBasedStateMachine):
    """One batch in a real store; the messages are ELS's and the checkers', true or not."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.connection = self.stack.enter_context(store_in_memory())
        self.now = AT
        self.commands: list[Message] = []
        self.heard: list[Message] = []
        self.ready: frozenset[str] | None = None
        self.failed: frozenset[str] = frozenset()
        self.retries = 0

    @initialize(may_be_cancelled=st.sampled_from([False, False, True]))
    def register(self, may_be_cancelled: bool) -> None:
        self.may_be_cancelled = may_be_cancelled
        registration = BatchRegistrationRequestV1(**body(essay_ids=list(ESSAYS)))
        batch = new_batch(BATCH_ID, CORRELATION, registration, COURSES, AT)
        SqliteBatchRepository(self.connection).store_batch_context(batch, registration, AT)
        self.before = self.batch

    @property
    def batch(self) -> Batch:
        return SqliteBatchRepository(self.connection).load_batches([BATCH_ID])[BATCH_ID]

    @precondition(lambda self: self.batch.proceed_requested_at)
    @rule()
    def els_goes_on_without_any(self) -> None:
        self.els_says_ready(set())

    @rule(essays=st.sets(st.sampled_from(ESSAYS), min_size=1))
    def els_says_ready(self, essays: set[str]) -> None:
        if self.ready is None:
            self.ready = frozenset(essays)
        self.hear(essays_ready(BATCH_ID, sorted(essays)))

    @rule(essay=st.sampled_from(ESSAYS), success=st.booleans(), data=st.data())
    def a_checker_answers(self, essay: str, success: bool, data: st.DataObject) -> None:
        attempt = data.draw(st.none() | st.integers(1, self.batch.attempt))
        self.hear(spellcheck_result(BATCH_ID, essay, success=success, attempt=attempt))

    @rule(failed=some_essays, age=st.sampled_from([0, 0, 0, 1, 2]))
    def els_concludes(self, failed: set[str], age: int) -> None:
        before = self.batch
        attempt = max(1, before.attempt - age)
        done = [essay for essay in ESSAYS if essay not in failed]
        status = SUCCESS if not failed else PARTIAL if done else FAILED
        self.hear(phase_outcome(BATCH_ID, status, done, sorted(failed), attempt=attempt))
        if before.status in CLOSED or attempt < before.attempt:
            assert self.batch.status is before.status
        else:
            self.failed = frozenset(failed)
            assert self.batch.status is STATUS_AFTER[status]

    @rule(hours=st.integers(1, 9))
    def els_waited_in_vain(self, hours: int) -> None:
        self.hear(readiness_timeout(BATCH_ID, ["a"], AT + timedelta(hours=hours)))

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def something_comes_again(self, data: st.DataObject) -> None:
        self.hear(*data.draw(st.lists(st.sampled_from(self.heard), max_size=4)))

    @rule(hours=st.integers(1, 9))
    def extend(self, hours: int) -> None:
        before = self.batch
        if self.took(Extend(self.now + timedelta(hours=hours))):
            assert before.status is S.AWAITING_CONTENT_VALIDATION

    @rule()
    def proceed(self) -> None:
        before = self.batch
        if self.took(Proceed()):
            assert before.status is S.AWAITING_CONTENT_VALIDATION
            assert before.proceed_requested_at is None

    @precondition(lambda self: self.may_be_cancelled)
    @rule()
    def cancel(self) -> None:
        assert self.took(Cancel("why not")) == (self.before.status not in CLOSED)

    @rule()
    def retry(self) -> None:
        expected = (self.ready or frozenset()) & self.failed
        may = self.before.status in RETRIABLE and bool(expected)

        assert self.took(Retry()) == may
        if may:
            self.retries += 1
            data = decode(self.said[-1].topic, self.said[-1].value).data
            assert isinstance(data, BatchServiceSpellcheckInitiateCommandDataV1)
            assert {one.essay_id for one in data.essays_to_process} == expected
            assert self.batch.status is S.PROCESSING_PIPELINES

    def took(self, action: Action) -> bool:
        before, count = self.batch, len(self.said)
        try:
            take(self.connection, BATCH_ID, action, None, lambda: self.now)
        except ActionRefused:
            assert (self.batch, len(self.said)) == (before, count)
            return False
        return True

    def hear(self, *messages: Message) -> None:
        self.now += timedelta(seconds=1)
        self.heard += messages
        said = apply(self.connection, [hear(message) for message in messages], self.now)
        self.commands += said

    @property
    def said(self) -> list[Message]:
        return said_in(self.connection)

    @invariant()
    def counts_add_up(self) -> None:
        detail = self.batch.pipelines.spellcheck
        if detail is not None:
            counts = detail.essay_counts
            parts = (counts.pending_dispatch_or_processing, counts.successful, counts.failed)
            assert sum(parts) == counts.total <= len(ESSAYS)
            assert min(parts) >= 0

    @invariant()
    def the_status_moves_as_it_may(self) -> None:
        before, self.before = self.before, self.batch
        after = self.before

        assert after.status is before.status or after.status in MOVES.get(before.status, ())
        assert after.attempt == 1 + self.retries
        if after.status in CLOSED and before.status is after.status:
            assert after.pipelines == before.pipelines

    @invariant()
    def the_pipeline_fits_the_status(self) -> None:
        batch = self.batch
        detail = batch.pipelines.spellcheck
        assert (detail is None) == (batch.pipelines.requested_pipelines == [])
        if batch.status in DETAIL_OF:
            assert detail is not None
            assert detail.status is DETAIL_OF[batch.status]
        if batch.status is S.CANCELLED:
            assert batch.cancellation is not None
            assert detail is None or detail.status is PipelineExecutionStatus.CANCELLED

    @invariant()
    def each_attempt_is_commanded_once(self) -> None:
        retried = [m for m in self.said if event_on(m.topic) is COMMAND]
        attempts = [message.headers["attempt"] for message in [*self.commands, *retried]]
        assert len(attempts) == len(set(attempts))
        assert len({message.event_id for message in self.said}) == len(self.said)

    def teardown(self) -> None:
        self.stack.close()


COMMAND = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND

BatchMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnyOrder = BatchMachine.TestCase
