"""What the client makes of a teacher's actions, and how they are told."""

import json

import httpx
import msgspec
import pytest

from huleedu.cli import watching
from huleedu.cli.answers import BatchResults, BatchStatus
from huleedu.cli.batch_report import Reporter, print_status
from huleedu.cli.progress import steps
from huleedu.core.errors import Conflict
from tests.cli.answering import Script, client_of, results_of

TAKEN = httpx.Response(202, json={"batch_id": "b", "status": "cancelled"})


@pytest.mark.anyio
async def test_an_action_that_is_sent_again_is_the_same_wish() -> None:
    """The repeat after a lost answer carries the same key and body."""
    script = Script([httpx.ReadError("cut off"), TAKEN])

    _, taken = await client_of(script).act("b/1", "cancel", {"reason": "x"}, "key-1")

    assert taken.status == "cancelled"
    assert [json.loads(request.content) for request in script.asked] == [{"reason": "x"}] * 2
    assert {request.headers["idempotency-key"] for request in script.asked} == {"key-1"}
    assert {request.url.raw_path for request in script.asked} == {b"/v1/batches/b%2F1/cancel"}


@pytest.mark.anyio
async def test_a_refused_action_is_told_at_once_with_its_reason() -> None:
    """It is not tried again: the state will not allow it a moment later either."""
    script = Script([httpx.Response(409, json={"detail": "The batch was cancelled already."})])

    with pytest.raises(Conflict, match="cancelled already"):
        await client_of(script).act("b", "cancel", {}, "key-1")

    assert len(script.asked) == 1


class Retried:
    """A batch that is checked again; its results hear of it at the third look."""

    def __init__(self, *, cancelled: bool = False) -> None:
        self._cancelled = cancelled
        self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(502)
        self.looks += 1
        results = results_of(is_finished=True, succeeded=1 if self.looks < 3 else 2)
        results["attempt"] = 1 if self.looks < 3 or self._cancelled else 2
        if self._cancelled and self.looks == 3:
            results["status"] = "cancelled"
        return httpx.Response(200, json=results)


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_end_of_an_earlier_attempt_is_not_the_end(
    cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that begins just after a retry waits for that; a batch stopped meanwhile ends it."""
    monkeypatch.setattr(watching, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "GATHER_SECONDS", 0.01)
    batch = Retried(cancelled=cancelled)

    _, ended = await watching.watch(client_of(batch), "b", lambda _: None, attempt=2)

    assert batch.looks == 3
    assert ended.counts.succeeded == 2


def test_a_passed_deadline_is_told_once_with_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And again when another has passed; an extension is told too."""
    first = results_of(is_finished=False, succeeded=0) | {
        "status": "awaiting_content_validation",
        "status_text": "Waiting for texts",
        "essays": [],
        "timed_out_at": "2026-01-12T09:00:00.000000Z",
        "missing_essay_ids": ["e1"],
    }
    extended = first | {"deadline": "2026-01-12T10:00:00.000000Z"}
    again = extended | {"timed_out_at": "2026-01-12T10:00:00.000000Z"}
    with steps() as shown:
        reporter = Reporter(shown, is_terminal=False)
        for results in (first, first, extended, again):
            reporter.on_change(msgspec.convert(results, BatchResults))

    passed = [
        "batch b: its deadline has passed without e1",
        "  huleedu batch extend|proceed|cancel b",
    ]
    assert capsys.readouterr().err.splitlines() == [
        *passed,
        "batch b: Waiting for texts",
        "batch b: waits for its texts until 2026-01-12T10:00:00.000000Z",
        *passed,
    ]


def test_another_attempt_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The first goes without saying."""
    results = results_of(is_finished=False, succeeded=0) | {"essays": []}
    with steps() as shown:
        reporter = Reporter(shown, is_terminal=False)
        for attempt in (0, 1, 2, 2, 3):
            reporter.on_change(msgspec.convert(results | {"attempt": attempt}, BatchResults))

    assert capsys.readouterr().err.splitlines() == [
        "batch b: Being checked",
        "batch b: attempt 2",
        "batch b: attempt 3",
    ]


def test_the_status_tells_everything_that_a_teacher_may_have_to_decide(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Deadline, missing essays, attempt, who cancelled it, and that nobody takes it up."""
    told = {
        "batch_id": "b",
        "status": "cancelled",
        "registered_at": "2026-01-12T08:00:00.000000Z",
        "attempt": 2,
        "context": {
            "course_code": "SV1",
            "class_designation": "9A",
            "expected_essay_count": 12,
            "essay_ids": [],
        },
        "readiness": {
            "deadline": "2026-01-12T09:00:00.000000Z",
            "timed_out_at": "2026-01-12T09:00:01.000000Z",
            "missing_essay_ids": [f"e{number}" for number in range(12)],
        },
        "cancellation": {
            "cancelled_at": "2026-01-12T10:00:00.000000Z",
            "cancelled_by": "Eva",
            "reason": "the wrong class",
        },
        "stalled": {"since": "2026-01-12T09:15:00.000000Z", "reason": "nobody took it up"},
    }

    print_status(msgspec.convert(told, BatchStatus))

    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["Deadline"].rstrip() == "2026-01-12T09:00:00.000000Z, has passed"
    assert rows["Missing"].rstrip() == "e0, e1, e2, e3, e4, e5, e6, e7, e8, e9 and 2 more"
    assert rows["Attempt"].rstrip() == "2"
    assert rows["Cancelled"].rstrip() == "2026-01-12T10:00:00.000000Z by Eva: the wrong class"
    assert rows["Stalled"].rstrip() == "since 2026-01-12T09:15:00.000000Z: nobody took it up"
