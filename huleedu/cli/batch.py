"""``huleedu batch``: classes of essays on a server."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from huleedu.cli.answers import BatchPage, BatchResults, BatchStatus, Registered
from huleedu.cli.batch_actions import cancel, extend, proceed, retry
from huleedu.cli.batch_report import (
    Reporter,
    print_results,
    print_sent,
    print_status,
    sent_as_json,
    stalled,
)
from huleedu.cli.batch_submit import submit
from huleedu.cli.client import PATIENCE_SECONDS, Registration
from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import gather
from huleedu.cli.options import (
    DEFAULT_SERVER,
    BatchArgument,
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
from huleedu.cli.output import print_json, print_json_bytes, print_table, tell
from huleedu.cli.progress import Steps, steps
from huleedu.cli.signals import run_to_end
from huleedu.cli.submission import Sent, new_essay_ids, send
from huleedu.cli.watching import watch as watch_batch
from huleedu.core.ids import RandomIds

group = typer.Typer(help="Work with classes of essays on a server.", no_args_is_help=True)
group.command("submit")(submit)
for _action in (extend, proceed, cancel, retry):
    group.command()(_action)


@group.callback()
def _group() -> None:
    """Work with classes of essays on a server."""


@group.command()
def register(
    course: CourseOption,
    class_designation: ClassOption,
    instructions: InstructionsOption = None,
    instructions_file: InstructionsFileOption = None,
    essay_id: Annotated[
        list[str] | None, typer.Option(help="Expect an essay with this id; may be repeated.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Expect so many essays, with ids made for them.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Register once, however often this command runs with it.")
    ] = None,
    readiness_timeout: ReadinessTimeoutOption = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Register a batch and print its id; its essays are uploaded afterwards."""
    text = instructions_from(instructions, instructions_file)
    if text is None:
        raise WrongUse("say what the pupils were asked: --instructions or --instructions-file.")
    if (essay_id is None) == (count is None):
        raise WrongUse("say which essays to expect: either --essay-id for each, or --count.")
    if idempotency_key is not None and count is not None:
        raise WrongUse(
            "--count makes new ids each time, so that a repeat would be another registration. "
            "With --idempotency-key, name the essays with --essay-id."
        )
    essay_ids = list(essay_id or new_essay_ids(count or 0, RandomIds()))

    async def work() -> Registered:
        async with Server(server, patience).connected() as (client, platform):
            return await client.register(
                Registration(essay_ids, course, class_designation, text, readiness_timeout),
                idempotency_key or str(platform.ids.new()),
            )

    registered = run_to_end(work)
    if json_output:
        print_json(
            {
                "batch_id": registered.batch_id,
                "correlation_id": registered.correlation_id,
                "status": registered.status,
                "essay_ids": essay_ids,
            }
        )
        return
    print_table(["Batch", "Essays"], [[registered.batch_id, len(essay_ids)]])
    tell(f"Upload them with: huleedu batch upload {registered.batch_id} FILE|DIR...")


@group.command()
def upload(
    batch_id: BatchArgument,
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help="Essays, or folders of essays.")
    ],
    essay_id: Annotated[
        list[str] | None,
        typer.Option(help="Id of the essay in each file, once a file and in their order."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Upload essays to a batch; each file is matched to one of its essays."""
    inputs = gather(paths)
    if essay_id is not None and (len(essay_id) != len(inputs.files) or inputs.unreadable):
        raise WrongUse(
            f"these are {len(inputs.files)} readable files and {len(essay_id)} essay ids; "
            "give --essay-id once for each file, or not at all."
        )

    async def work(shown: Steps) -> list[Sent]:
        async with Server(server, patience).connected() as (client, _platform):
            total = len(inputs.files)
            sent = await send(
                client,
                batch_id,
                inputs.files,
                essay_id,
                lambda done: shown.doing("Sending", done, total),
            )
            return list(sent)

    with steps() as shown:
        sent = run_to_end(lambda: work(shown))
    if json_output:
        print_json({"batch_id": batch_id, "files": sent_as_json(sent)})
    else:
        print_sent(sent)
    for path, why in inputs.unreadable:
        tell(f"{path} {why}.")
    if inputs.unreadable or any(one.error for one in sent):
        raise typer.Exit(1)


@group.command()
def status(
    batch_id: BatchArgument,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Show what a batch was registered with, and how far it is."""

    async def work() -> tuple[bytes, BatchStatus]:
        async with Server(server, patience).connected() as (client, _platform):
            return await client.batch(batch_id)

    document, batch = run_to_end(work)
    if json_output:
        print_json_bytes(document)
        return
    print_status(batch)


@group.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Show so many at most.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where an earlier list ended: its next_cursor.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--status", help="Show only batches of this status.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """List the batches, newest first."""

    async def work() -> tuple[bytes, BatchPage]:
        async with Server(server, patience).connected() as (client, _platform):
            return await client.batches(limit, cursor, only)

    document, page = run_to_end(work)
    if json_output:
        print_json_bytes(document)
        return
    print_table(
        ["Batch", "Course", "Class", "Essays", "Status", "Registered"],
        [
            [
                one.batch_id,
                one.course_code,
                one.class_designation,
                one.expected_essay_count,
                one.status,
                one.registered_at,
            ]
            for one in page.batches
        ],
    )
    if page.next_cursor is not None:
        tell(f"There are more: --cursor {page.next_cursor}")


@group.command()
def watch(
    batch_id: BatchArgument,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Follow a batch until it has ended; succeeds when every essay was checked."""

    async def work(reporter: Reporter) -> tuple[bytes, BatchResults]:
        async with Server(server, patience).connected() as (client, _platform):
            batch = await client.batch_if_known(batch_id)
            if batch is not None and batch.stalled is not None:
                tell(f"batch {batch_id}: {stalled(batch.stalled)}")
            attempt = 1 if batch is None else batch.attempt
            return await watch_batch(client, batch_id, reporter.on_change, attempt=attempt)

    with steps() as shown:
        reporter = Reporter(shown, is_terminal=sys.stderr.isatty())
        document, found = run_to_end(lambda: work(reporter))
    if json_output:
        print_json_bytes(document)
    else:
        print_results(found)
    if not found.is_success:
        raise typer.Exit(1)


@group.command()
def results(
    batch_id: BatchArgument,
    as_format: Annotated[
        Literal["json", "csv", "zip"] | None,
        typer.Option("--format", help="Get json, csv, or a zip of the corrected texts."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write to this file; - is stdout.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Show the results of a batch as they stand, or get them as a file."""
    if json_output and as_format not in {None, "json"}:
        raise WrongUse(f"--json and --format {as_format} are two different wishes.")
    chosen = "json" if json_output else as_format
    if out is not None and chosen is None:
        raise WrongUse("say what to write: --format json, csv or zip.")
    if chosen == "zip" and (out is None or (out == "-" and sys.stdout.isatty())):
        raise WrongUse("a zip is nothing to read: say where to write it with --out FILE.")

    async def work() -> tuple[bytes, BatchResults | None]:
        async with Server(server, patience).connected() as (client, _platform):
            if chosen is None or chosen == "json":
                return await client.results(batch_id)
            return await client.results_file(batch_id, chosen), None

    document, found = run_to_end(work)
    if chosen is None and found is not None:
        print_results(found)
    elif out is not None and out != "-":
        _write(document, Path(out))
    elif chosen == "json":
        print_json_bytes(document)
    else:
        sys.stdout.buffer.write(document)


def _write(document: bytes, path: Path) -> None:
    try:
        path.write_bytes(document)
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror}.") from error
    tell(f"Wrote {len(document):,} bytes to {path}.")
