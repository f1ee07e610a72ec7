"""``huleedu batch submit``: a class of files to a server, and its results back."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from huleedu.cli.answers import BatchResults
from huleedu.cli.batch_report import (
    Reporter,
    print_results,
    print_sent,
    sent_as_json,
    tell_what_is_missing,
)
from huleedu.cli.client import PATIENCE_SECONDS, ServerClient
from huleedu.cli.corrected import Target, plan_targets, read_archive, tell_written, write
from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import EssayFile, gather, tell_left_out
from huleedu.cli.options import (
    DEFAULT_SERVER,
    ClassOption,
    CourseOption,
    InstructionsFileOption,
    InstructionsOption,
    JsonOption,
    PatienceOption,
    ReadinessTimeoutOption,
    Server,
    ServerOption,
    instructions_from,
)
from huleedu.cli.output import print_json, tell
from huleedu.cli.progress import Steps, steps
from huleedu.cli.signals import run_to_end
from huleedu.cli.submission import Assignment, Submission
from huleedu.cli.submission import submit as submit_class
from huleedu.cli.watching import watch as watch_batch

NO_INSTRUCTIONS = "None were given."


@dataclass(frozen=True)
class _Done:
    """How far a submission came: sent, and where it was watched its results."""

    submission: Submission
    document: bytes | None = None
    results: BatchResults | None = None
    written: Sequence[tuple[EssayFile, Target]] = ()


def submit(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help="Essays, or folders of essays.")
    ],
    course: CourseOption,
    class_designation: ClassOption,
    instructions: InstructionsOption = None,
    instructions_file: InstructionsFileOption = None,
    readiness_timeout: ReadinessTimeoutOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the batch to its end.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Follow it, then write NAME.txt and NAME.json for each essay here."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Register a class, one essay a file, and upload the files.

    With --watch it succeeds when every essay was checked, else when every file was taken.
    """
    text = instructions_from(instructions, instructions_file) or NO_INSTRUCTIONS
    inputs = gather(paths)
    if inputs.unreadable:
        told = "\n".join(f"  {path} {why}" for path, why in inputs.unreadable)
        raise WrongUse(f"nothing was sent, since some files cannot be read:\n{told}")
    tell_left_out(inputs.left_out)
    targets = plan_targets(inputs.files, out) if out is not None else None
    assignment = Assignment(course, class_designation, text, readiness_timeout)
    with steps() as shown:
        done = run_to_end(
            lambda: _submit(
                Server(server, patience),
                inputs.files,
                assignment,
                shown,
                targets,
                watch=watch or targets is not None,
            )
        )
    _tell(done, json_output=json_output)
    if done.submission.refused or (done.results is not None and not done.results.is_success):
        raise typer.Exit(1)


async def _submit(
    server: Server,
    files: Sequence[EssayFile],
    assignment: Assignment,
    shown: Steps,
    targets: Sequence[Target] | None,
    *,
    watch: bool,
) -> _Done:
    async with server.connected() as (client, platform):
        shown.doing("Sending", 0, len(files))
        submission = await submit_class(
            client,
            platform,
            files,
            assignment,
            lambda done: shown.doing("Sending", done, len(files)),
        )
        tell(f"Batch {submission.batch_id} is registered, with {len(files)} essays.")
        # A file that was refused keeps the batch waiting: there is nothing to follow yet.
        if not watch or submission.refused:
            return _Done(submission)
        reporter = Reporter(shown, is_terminal=sys.stderr.isatty())
        document, results = await watch_batch(
            client, submission.batch_id, reporter.on_change, is_new=True
        )
        written = await _fetch(client, submission, targets) if targets is not None else []
        return _Done(submission, document, results, written)


async def _fetch(
    client: ServerClient, submission: Submission, targets: Sequence[Target]
) -> Sequence[tuple[EssayFile, Target]]:
    """Write every corrected text that there is; return what was written."""
    corrected = read_archive(await client.results_file(submission.batch_id, "zip"))
    written = []
    replaced = 0
    for sent, target in zip(submission.sent, targets, strict=True):
        text = corrected.get(sent.essay_id or "")
        if text is not None:
            replaced += write(text, target)
            written.append((sent.file, target))
    tell_written(written, replaced)
    return written


def _tell(done: _Done, *, json_output: bool) -> None:
    submission = done.submission
    if json_output:
        print_json(
            {
                "batch_id": submission.batch_id,
                "correlation_id": submission.correlation_id,
                "files": sent_as_json(submission.sent),
                "results": None if done.document is None else msgspec.Raw(done.document),
                "written": [
                    {
                        "file": str(file.path),
                        "corrected_file": str(target.text),
                        "log_file": str(target.log),
                    }
                    for file, target in done.written
                ],
            }
        )
    elif done.results is None:
        print_sent(submission.sent)
    else:
        print_results(done.results)
    if submission.refused:
        tell_what_is_missing(submission)
    elif done.results is None:
        tell(f"Follow it with: huleedu batch watch {submission.batch_id}")
