"""How a batch is told: as tables, as lines while it goes on, and as an exit code."""

from collections.abc import Sequence

from huleedu.cli.answers import BatchResults, EssayResult
from huleedu.cli.output import print_table, tell
from huleedu.cli.progress import Steps
from huleedu.cli.submission import Sent, Submission


class Reporter:
    """Tells of a batch while it is watched: a bar on a terminal, else a line for each change."""

    def __init__(self, steps: Steps, *, is_terminal: bool) -> None:
        self._steps = steps
        self._is_terminal = is_terminal
        self._batch_status: str | None = None
        self._essays: dict[str, str] = {}

    def on_change(self, results: BatchResults) -> None:
        """Tell what is new in the results."""
        counts = results.counts
        if self._is_terminal:
            done = counts.succeeded + counts.failed
            failed = f", {counts.failed} failed" if counts.failed else ""
            self._steps.doing(f"{results.status_text}{failed}", done, counts.expected)
            return
        if results.status != self._batch_status:
            self._batch_status = results.status
            tell(f"batch {results.batch_id}: {results.status_text}")
        for essay in results.essays:
            line = outcome_of(essay)
            if essay.status is not None and self._essays.get(essay.essay_id) != line:
                self._essays[essay.essay_id] = line
                tell(f"{essay.essay_id} ({essay.file_name or 'no file'}): {line}")


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
    counts = results.counts
    tell(
        f"{results.status_text}. {counts.succeeded} of {counts.expected} essays checked, "
        f"{counts.failed} failed, {counts.pending} not done; {counts.corrections:,} corrections."
    )


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
        f"them again:\n  huleedu batch upload {submission.batch_id} FILE..."
    )
