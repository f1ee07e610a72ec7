"""How a batch is told: as tables, as lines while it goes on, and as an exit code."""

from collections.abc import Sequence

from huleedu.cli.answers import (
    BatchResults,
    BatchStatus,
    Cancellation,
    EssayResult,
    Readiness,
    Stall,
)
from huleedu.cli.output import print_table, tell
from huleedu.cli.progress import Steps
from huleedu.cli.submission import Sent, Submission

IDS_SHOWN_MAX = 10


class Reporter:
    """Tells of a batch while it is watched: a bar on a terminal, else a line for each change."""

    def __init__(self, steps: Steps, *, is_terminal: bool) -> None:
        self._steps = steps
        self._is_terminal = is_terminal
        self._batch_status: str | None = None
        self._essays: dict[str, str] = {}
        self._attempt = 0
        self._deadline: str | None = None
        self._timed_out_at: str | None = None

    def on_change(self, results: BatchResults) -> None:
        """Tell what is new in the results."""
        counts = results.counts
        self._tell_of_deadlines(results)
        if self._is_terminal:
            done = counts.succeeded + counts.failed
            failed = f", {counts.failed} failed" if counts.failed else ""
            self._steps.doing(f"{results.status_text}{failed}", done, counts.expected)
            return
        if results.attempt > max(1, self._attempt):
            tell(f"batch {results.batch_id}: attempt {results.attempt}")
        self._attempt = results.attempt
        if results.status != self._batch_status:
            self._batch_status = results.status
            tell(f"batch {results.batch_id}: {results.status_text}")
        for essay in results.essays:
            line = outcome_of(essay)
            if essay.status is not None and self._essays.get(essay.essay_id) != line:
                self._essays[essay.essay_id] = line
                tell(f"{essay.essay_id} ({essay.file_name or 'no file'}): {line}")

    def _tell_of_deadlines(self, results: BatchResults) -> None:
        if results.deadline not in (None, self._deadline):
            tell(f"batch {results.batch_id}: waits for its texts until {results.deadline}")
        if results.timed_out_at not in (None, self._timed_out_at) and not results.is_finished:
            tell(
                f"batch {results.batch_id}: its deadline has passed without "
                f"{_some(results.missing_essay_ids) or 'some texts, which are here now'}\n"
                f"  huleedu batch extend|proceed|cancel {results.batch_id}"
            )
        self._deadline, self._timed_out_at = results.deadline, results.timed_out_at


def print_status(batch: BatchStatus) -> None:
    """Print what a batch was registered with, how far it is, and what it waits for."""
    essays = batch.essay_counts
    rows = [
        ["Course", batch.context.course_code],
        ["Class", batch.context.class_designation],
        ["Registered", batch.registered_at],
        ["Status", batch.status],
        ["Essays", str(batch.context.expected_essay_count)],
        ["Checked", str(essays.successful)],
        ["Failed", str(essays.failed)],
        ["Attempt", str(batch.attempt)],
        *_readiness_rows(batch.readiness),
    ]
    if batch.cancellation is not None:
        rows.append(["Cancelled", _cancelled(batch.cancellation)])
    if batch.stalled is not None:
        rows.append(["Stalled", stalled(batch.stalled).removeprefix("stalled ")])
    print_table(["Batch", batch.batch_id], rows)


def stalled(stall: Stall) -> str:
    """Return since when nobody takes a batch up, and what it waits for."""
    return f"stalled since {stall.since}: {stall.reason}"


def _readiness_rows(readiness: Readiness) -> Sequence[list[str]]:
    # Times of a server sort as text; one that passed before an extension is history.
    has_passed = (readiness.timed_out_at or "") >= readiness.deadline
    rows = [["Deadline", f"{readiness.deadline}{', has passed' if has_passed else ''}"]]
    if readiness.proceed_requested_at is not None:
        rows.append(["Told to go on", readiness.proceed_requested_at])
    if readiness.missing_essay_ids:
        rows.append(["Missing", _some(readiness.missing_essay_ids)])
    return rows


def _cancelled(cancellation: Cancellation) -> str:
    by = f" by {cancellation.cancelled_by}" if cancellation.cancelled_by else ""
    reason = f": {cancellation.reason}" if cancellation.reason else ""
    return f"{cancellation.cancelled_at}{by}{reason}"


def _some(essay_ids: Sequence[str]) -> str:
    """Return the ids, or the first of many; empty for none."""
    more = len(essay_ids) - IDS_SHOWN_MAX
    shown = ", ".join(essay_ids[:IDS_SHOWN_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def outcome_of(essay: EssayResult) -> str:
    """Return how an essay stands in a few words."""
    if essay.error is not None:
        return f"{essay.status_text}: {essay.error}"
    return essay.status_text


def print_results(results: BatchResults) -> None:
    """Print a row for each essay, and say what it comes to."""
    print_table(
        ["Essay", "File", "Pupil", "Corrections", "Status"],
        [
            [
                essay.essay_id,
                essay.file_name,
                essay.student_name,
                essay.corrections_made,
                outcome_of(essay),
            ]
            for essay in results.essays
        ],
    )
    for text in results.refused_texts:
        named = text.file_name or "a text"
        tell(f"{named} was not taken for {text.essay_id}: {text.reason_text}.")
    counts = results.counts
    tell(
        f"{results.status_text}. {counts.succeeded} of {counts.expected} essays checked, "
        f"{counts.failed} failed, {counts.pending} not done; {counts.corrections:,} corrections."
    )
    if results.is_finished and any(essay.may_succeed_again for essay in results.essays):
        tell(f"Check what failed again with: huleedu batch retry {results.batch_id}")


def print_sent(sent: Sequence[Sent]) -> None:
    """Print a row for each file: whose essay it is, or why it was not taken."""
    print_table(
        ["File", "Essay", "Outcome"],
        [[one.file.name, one.essay_id, one.error or "taken"] for one in sent],
    )


def sent_as_json(sent: Sequence[Sent]) -> Sequence[dict[str, object]]:
    """Return the same for a program."""
    return [
        {"file": str(one.file.path), "essay_id": one.essay_id, "error": one.error} for one in sent
    ]


def tell_what_is_missing(submission: Submission) -> None:
    """Say which files the server refused, and how to send others in their place."""
    for one in submission.refused:
        tell(f"{one.file.path} was not taken: {one.error}")
    tell(
        f"The batch waits for {len(submission.refused)} more essays. Mend these files and send "
        f"them again:\n  huleedu batch upload {submission.batch_id} FILE...\n"
        f"or go on without them:\n  huleedu batch proceed {submission.batch_id}"
    )
