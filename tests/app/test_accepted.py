"""What an action was answered with is what results speak of afterwards, however late they hear it.

BOS, ELS and results on their own stores; what they publish travels in order in each topic, and as
late and as often as hypothesis likes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.bos.accepted import accepted_in
from huleedu.bos.acting import ActionRefused, take
from huleedu.bos.actions import Action, Cancel, Retry
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.handlers import apply as bos_apply
from huleedu.bos.model import CLOSED, Batch
from huleedu.bos.registration import new_batch
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import BatchStatus, ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.messages import EssayLifecycleSpellcheckRequestV1
from huleedu.core.ports import Accepted
from huleedu.core.topics import event_on
from huleedu.els import speech
from huleedu.els.deadlines import Deadlines
from huleedu.els.handlers import EssayLifecycle
from huleedu.results.model import BatchView
from huleedu.results.views import view
from tests.bos.building import COURSES, body, said_in, store_in_memory
from tests.els.test_store_agrees import els_tables
from tests.results.projecting import Projection
from tests.support.builders import (
    AT,
    CORRELATION,
    content_ready,
    hear,
    registered,
    spellcheck_result,
)

BATCH, ESSAYS = "batch", ("a", "b")
PHASE = timedelta(minutes=15)
E = ProcessingEvent
FOR = {
    E.BATCH_ESSAYS_REGISTERED: ("els", "results"),
    E.ESSAY_CONTENT_READY: ("els", "results"),
    E.BATCH_ESSAYS_READY: ("bos", "results"),
    E.BATCH_SPELLCHECK_INITIATE_COMMAND: ("els",),
    E.ESSAY_SPELLCHECK_REQUESTED: ("checker", "results"),
    E.ESSAY_SPELLCHECK_RESULT_RECEIVED: ("els", "bos", "results"),
    E.BATCH_PHASE_CONCLUDED: ("bos", "results"),
    E.BATCH_CANCELLED: ("els", "results"),
}


class Flow:
    """One batch of two essays, and the messages about it that are under way."""

    def __init__(self, stack: ExitStack) -> None:
        self.now = AT
        self.bos = stack.enter_context(store_in_memory())
        self.els = stack.enter_context(els_tables())
        self.results = Projection()
        stack.callback(self.results.close)
        self.under_way: list[tuple[str, Message]] = []
        self.heard: list[tuple[str, Message]] = []
        self.said_by_bos = 0
        registration = BatchRegistrationRequestV1(**body(essay_ids=list(ESSAYS)))
        batch = new_batch(BATCH, CORRELATION, registration, COURSES, AT)
        SqliteBatchRepository(self.bos).store_batch_context(batch, registration, AT)
        self.say([registered(BATCH, ESSAYS), *(content_ready(BATCH, e, "t") for e in ESSAYS)])

    def say(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.under_way += [(who, message) for who in FOR[event_on(message.topic)]]

    def arrive(self, pick: int, *, success: bool) -> None:
        """Let the first message of one topic reach one of its readers."""
        firsts = {(who, message.topic): (who, message) for who, message in reversed(self.under_way)}
        if firsts:
            one = [*firsts.values()][pick % len(firsts)]
            self.under_way.remove(one)
            self.heard.append(one)
            self.reach(*one, success=success)

    def reach(self, who: str, message: Message, *, success: bool) -> None:
        self.now += timedelta(seconds=1)
        heard = hear(message)
        match who:
            case "bos":
                self.say(bos_apply(self.bos, [heard], self.now))
            case "els":
                self.say(EssayLifecycle().apply(self.els, [heard], self.now))
            case "results":
                self.results.hear([message])
            case "checker":
                assert isinstance(heard.data, EssayLifecycleSpellcheckRequestV1)
                essay = heard.data.entity_ref.entity_id
                attempt = heard.attempt
                self.say([spellcheck_result(BATCH, essay, success=success, attempt=attempt)])

    def again(self, pick: int) -> None:
        """Let a message that was heard be heard once more, by the same reader."""
        if self.heard:
            who, message = self.heard[pick % len(self.heard)]
            if who != "checker":
                self.reach(who, message, success=False)

    def act(self, action: Action) -> Accepted | None:
        try:
            take(self.bos, BATCH, action, None, lambda: self.now)
        except ActionRefused:
            return None
        said = said_in(self.bos)
        self.say(said[self.said_by_bos :])
        self.said_by_bos = len(said)
        return accepted_in(self.bos, BATCH)

    def give_up(self) -> None:
        """Let ELS fail what nobody answers."""
        self.now += timedelta(hours=1)
        for one in Deadlines(self.els, self.now).pass_phases(PHASE, 10):
            self.say(speech.phase_concluded(one, None, self.now))

    @property
    def batch(self) -> Batch:
        return SqliteBatchRepository(self.bos).load_batches([BATCH])[BATCH]

    def shown(self, at: datetime, accepted: Accepted) -> BatchView | None:
        known = self.results.connection.execute("SELECT registered_at FROM batch").fetchone()
        if known is None or known[0] is None:
            return None
        return view(self.results.connection, BATCH, at, accepted)


def judge(shown: BatchView | None, told: Accepted) -> None:
    """What is finished is at least what was accepted."""
    if shown is not None and shown.is_finished:
        assert (shown.finished_at is None) == (not shown.is_finished)
        assert shown.attempt >= told.attempt or shown.status is BatchStatus.CANCELLED
        assert not told.is_cancelled or shown.status is BatchStatus.CANCELLED


arrivals = st.tuples(st.just("arrive"), st.integers(0, 20), st.sampled_from([True, False, False]))
steps = st.one_of(
    arrivals,
    arrivals,
    arrivals,
    st.tuples(st.just("again"), st.integers(0, 40)),
    st.sampled_from([("retry",), ("retry",), ("cancel",), ("give up",)]),
)


def take_step(flow: Flow, step: tuple[object, ...]) -> Accepted | None:
    match step:
        case "arrive", int(pick), bool(success):
            flow.arrive(pick, success=success)
        case "again", int(pick):
            flow.again(pick)
        case ("retry",):
            return flow.act(Retry())
        case ("cancel",):
            return flow.act(Cancel())
        case ("give up",):
            flow.give_up()
    return None


def to_rest(flow: Flow) -> None:
    """Let all arrive, and ELS give up what is not answered."""
    while flow.under_way:
        flow.arrive(0, success=False)


def run(taken: Sequence[tuple[object, ...]], look: Callable[[Flow, Accepted], None]) -> None:
    with ExitStack() as stack:
        flow = Flow(stack)
        for step in [*[("arrive", 0, False)] * 16, *taken]:
            take_step(flow, step)
            # Long after every outcome, when none of them is waited for any more.
            look(flow, accepted_in(flow.bos, BATCH))
        to_rest(flow)
        flow.give_up()
        to_rest(flow)
        look(flow, accepted_in(flow.bos, BATCH))
        shown = flow.shown(flow.now, accepted_in(flow.bos, BATCH))
        assert shown is not None
        assert (shown.status, shown.attempt if shown.status != "cancelled" else 0) == (
            flow.batch.status,
            flow.batch.attempt if shown.status != "cancelled" else 0,
        )
        assert shown.is_finished
        assert flow.batch.status in CLOSED
        (attempt, concluded, pending) = flow.els.execute(
            "SELECT attempt, concluded_at IS NOT NULL, pending FROM batch"
        ).fetchone()
        if flow.batch.status is not BatchStatus.CANCELLED:
            assert (attempt, bool(concluded), pending) == (flow.batch.attempt, True, 0)


@settings(max_examples=80)
@given(st.lists(steps, max_size=60))
def test_results_never_end_before_what_was_accepted(taken: Sequence[tuple[object, ...]]) -> None:
    """In the process of BOS: after a retry or a cancellation, whatever is late or comes again.

    In the end BOS, ELS and results agree.
    """

    def look(flow: Flow, told: Accepted) -> None:
        for at in (flow.now, flow.now + timedelta(days=1)):
            judge(flow.shown(at, told), told)

    run(taken, look)


@settings(max_examples=30)
@given(st.lists(steps, max_size=60))
def test_results_never_end_before_the_attempt_that_a_caller_names(
    taken: Sequence[tuple[object, ...]],
) -> None:
    """In another process than BOS, where the caller says what the retry was answered with."""

    def look(flow: Flow, told: Accepted) -> None:
        named = Accepted(attempt=told.attempt)
        judge(flow.shown(flow.now, named), named)

    run(taken, look)
