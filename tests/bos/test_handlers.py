"""What BOS hears, applied to a real store."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.decide import STATUS_AFTER, UnknownAttempt
from huleedu.bos.handlers import UnknownBatch, apply
from huleedu.bos.references import ReferencesMissing
from huleedu.bos.registration import new_batch
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import (
    BatchStatus,
    Language,
    PipelineExecutionStatus,
    ProcessingEvent,
)
from huleedu.core.envelope import decode
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Message
from huleedu.core.messages import BatchServiceSpellcheckInitiateCommandDataV1
from huleedu.core.pipeline_state import PipelineName
from huleedu.core.topics import topic_name
from tests.bos.building import (
    COURSES,
    FAILED,
    PARTIAL,
    SUCCESS,
    body,
    essays_ready,
    phase_outcome,
    readiness_timeout,
    references_to,
    store_in_memory,
)
from tests.support.builders import AT, hear, spellcheck_result

ESSAYS = ["a", "b", "c"]
CORRELATION = UUID("c0ffee00-0000-4000-8000-000000000001")
COMMAND = topic_name(ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND)


@dataclass(frozen=True)
class Store:
    """The store of a BOS, one batch after another."""

    connection: sqlite3.Connection

    def register(self, course_code: str = "SV1") -> str:
        registration = BatchRegistrationRequestV1(**body(essay_ids=ESSAYS, course_code=course_code))
        batch_id = str(uuid4())
        batch = new_batch(batch_id, CORRELATION, registration, COURSES, AT)
        SqliteBatchRepository(self.connection).store_batch_context(batch, registration, AT)
        return batch_id

    def hear(self, *messages: Message) -> list[Message]:
        return list(apply(self.connection, [hear(message) for message in messages], AT))

    def seen(self, batch_id: str) -> "Seen":
        batch = SqliteBatchRepository(self.connection).load_batches([batch_id])[batch_id]
        detail = batch.pipelines.spellcheck
        if detail is None:
            return Seen(batch.status, None, (0, 0, 0), batch.readiness_timed_out_at)
        assert batch.pipelines.requested_pipelines == [PipelineName.SPELLCHECK]
        counts = detail.essay_counts
        return Seen(
            batch.status,
            detail.status,
            (counts.total, counts.successful, counts.failed),
            batch.readiness_timed_out_at,
        )


@dataclass(frozen=True)
class Seen:
    """What a reader sees of a batch, apart from when things happened."""

    status: BatchStatus
    spellcheck: PipelineExecutionStatus | None
    counts: tuple[int, int, int]
    timed_out_at: datetime | None


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with store_in_memory() as connection:
        yield Store(connection)


def test_readiness_is_followed_by_the_command(store: Store) -> None:
    """The command names the texts and the course's language, under the batch's own ids."""
    batch_id = store.register("SV1")
    ready = essays_ready(batch_id, ESSAYS)

    [message] = store.hear(ready)

    command = decode(message.topic, message.value)
    assert isinstance(command.data, BatchServiceSpellcheckInitiateCommandDataV1)
    assert (message.topic, message.key) == (COMMAND, batch_id.encode())
    assert command.data.essays_to_process == references_to(ESSAYS)
    assert command.data.language is Language.SWEDISH
    assert command.data.entity_ref.entity_id == batch_id
    assert (command.source_service, command.correlation_id) == ("batch-service", CORRELATION)
    assert message.headers["attempt"] == "1"
    assert message.headers["causation-id"] == ready.event_id


def test_two_readinesses_in_one_fetch_make_one_command(store: Store) -> None:
    """Within a fetch as across fetches."""
    batch_id = store.register()

    said = store.hear(essays_ready(batch_id, ESSAYS), essays_ready(batch_id, ESSAYS))

    assert len(said) == 1


def test_the_command_of_a_batch_has_one_id(store: Store) -> None:
    """A transaction that was undone says the same again under the same id."""
    batch_id = store.register()

    store.connection.execute("BEGIN")
    [first] = store.hear(essays_ready(batch_id, ESSAYS))
    store.connection.execute("ROLLBACK")
    [again] = store.hear(essays_ready(batch_id, ESSAYS))

    assert first.event_id == again.event_id


def test_a_batch_without_essays_fails_without_a_command(store: Store) -> None:
    """References are not missing where there are no essays."""
    batch_id = store.register()

    assert store.hear(essays_ready(batch_id, [], references=False)) == []
    assert store.seen(batch_id).status is BatchStatus.CONTENT_INGESTION_FAILED


def test_readiness_without_references_is_refused(store: Store) -> None:
    """A foreign sender's readiness goes aside with the reason, and may be replayed."""
    batch_id = store.register()

    with pytest.raises(ReferencesMissing, match="does not know the texts of 3 of its 3 essays"):
        store.hear(essays_ready(batch_id, ESSAYS, references=False))


def test_an_unknown_batch_is_refused(store: Store) -> None:
    """Nobody registered it here."""
    for message in (
        essays_ready("nowhere", ESSAYS),
        spellcheck_result("nowhere", "a"),
        phase_outcome("nowhere", SUCCESS, ESSAYS),
        readiness_timeout("nowhere", ESSAYS),
    ):
        with pytest.raises(UnknownBatch, match="batch 'nowhere', which was never registered"):
            store.hear(message)


def test_a_result_of_a_foreign_essay_is_refused(store: Store) -> None:
    """It would make more results than there are essays."""
    batch_id = store.register()

    with pytest.raises(MalformedMessage, match="essay 'z'"):
        store.hear(spellcheck_result(batch_id, "z"))


def test_a_result_without_an_attempt_counts_for_the_current_one(store: Store) -> None:
    """A foreign checker does not know of attempts."""
    batch_id = store.register()
    store.hear(essays_ready(batch_id, ESSAYS))

    store.hear(spellcheck_result(batch_id, "a", attempt=None))

    assert store.seen(batch_id).counts == (3, 1, 0)


def test_a_result_of_an_attempt_that_never_was_is_refused(store: Store) -> None:
    """It cannot be the answer to anything."""
    batch_id = store.register()

    with pytest.raises(UnknownAttempt):
        store.hear(spellcheck_result(batch_id, "a", attempt=2))


def test_one_fetch_serves_many_batches(store: Store) -> None:
    """Each batch gets its own, and no other's."""
    one, two = store.register("SV1"), store.register("ENG5")

    said = store.hear(essays_ready(one, ESSAYS), essays_ready(two, ESSAYS[:2]))
    store.hear(
        spellcheck_result(one, "a"),
        spellcheck_result(two, "a", success=False),
        spellcheck_result(one, "b"),
        spellcheck_result(one, "b"),
    )

    languages = [getattr(decode(COMMAND, message.value).data, "language", None) for message in said]
    assert languages == [Language.SWEDISH, Language.ENGLISH]
    assert (store.seen(one).counts, store.seen(two).counts) == ((3, 2, 0), (2, 0, 1))


class Story:
    """One batch's messages, and what a reader must see after some of them: a simple model."""

    def __init__(self, batch_id: str, failing: frozenset[str]) -> None:
        done = [essay_id for essay_id in ESSAYS if essay_id not in failing]
        status = SUCCESS if not failing else PARTIAL if done else FAILED
        self.failing = failing
        self.outcome_status = status
        self.messages = {
            "ready": essays_ready(batch_id, ESSAYS),
            "timeout": readiness_timeout(batch_id, ESSAYS),
            "later timeout": readiness_timeout(batch_id, ESSAYS, AT + timedelta(hours=1)),
            "outcome": phase_outcome(batch_id, status, done, sorted(failing)),
            **{
                essay_id: spellcheck_result(batch_id, essay_id, success=essay_id not in failing)
                for essay_id in ESSAYS
            },
        }

    def expected(self, heard: Sequence[str]) -> Seen:
        bad = sum(essay_id in heard for essay_id in self.failing)
        good = sum(essay_id in heard for essay_id in ESSAYS) - bad
        timed_out_at = AT if "timeout" in heard else None
        if "later timeout" in heard:
            timed_out_at = AT + timedelta(hours=1)
        status, spellcheck = BatchStatus.AWAITING_CONTENT_VALIDATION, None
        counts = (0, 0, 0)
        if "ready" in heard:
            status = BatchStatus.READY_FOR_PIPELINE_EXECUTION
            spellcheck = PipelineExecutionStatus.DISPATCH_INITIATED
            counts = (3, good, bad)
            if good + bad:
                status = BatchStatus.PROCESSING_PIPELINES
                spellcheck = PipelineExecutionStatus.IN_PROGRESS
        if "outcome" in heard:
            status, spellcheck = STATUS_AFTER[self.outcome_status], self.outcome_status
            counts = (3, 3 - len(self.failing), len(self.failing))
        return Seen(status, spellcheck, counts, timed_out_at)

    def commands(self, heard: Sequence[str]) -> int:
        """One, unless the outcome came first."""
        decisive = [name for name in heard if name in ("ready", "outcome")]
        return int(decisive[:1] == ["ready"])


NAMES = ["ready", "timeout", "later timeout", "outcome", *ESSAYS]


@given(
    failing=st.frozensets(st.sampled_from(ESSAYS)),
    fetches=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5), max_size=6),
)
def test_any_order_and_repetition_ends_in_the_same_state(
    store: Store, failing: frozenset[str], fetches: list[list[str]]
) -> None:
    """However messages are ordered, repeated and gathered, a reader sees what they say."""
    batch_id = store.register()
    story = Story(batch_id, failing)
    heard: list[str] = []
    said: list[Message] = []

    for fetch in fetches:
        said += store.hear(*(story.messages[name] for name in fetch))
        heard += fetch
        assert store.seen(batch_id) == story.expected(heard)

    assert len(said) == story.commands(heard)
