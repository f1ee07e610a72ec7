"""``huleedu dlq``: the dead letters of a deployment."""

import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Annotated, Literal

import typer

from huleedu.cli.dlq_options import (
    BatchOption,
    ConfigOption,
    DataDirOption,
    ErrorOption,
    Filters,
    GroupOption,
    Place,
    ServersOption,
    SinceOption,
    TopicOption,
    TransportOption,
)
from huleedu.cli.dlq_report import (
    outline,
    print_list,
    print_outcome,
    print_survey,
    print_whole,
    survey_as_json,
    whole,
)
from huleedu.cli.failures import WrongUse
from huleedu.cli.options import JsonOption
from huleedu.cli.output import print_json, tell
from huleedu.cli.progress import steps
from huleedu.cli.signals import run_to_end
from huleedu.core.errors import NotFound
from huleedu.transport.dead_letter_box import (
    DeadLetter,
    DeadLetterBox,
    Survey,
    Wanted,
    refusal_of,
    settle,
    survey,
    upto,
)

group = typer.Typer(
    help="The messages that a consumer could not handle and set aside.", no_args_is_help=True
)

Word = Literal["replayed", "discarded"]
Refusal = Callable[[DeadLetter], str | None]
Act = Callable[[DeadLetterBox, Sequence[DeadLetter]], Awaitable[int]]

IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID", help="Only these, by their ids, whether they wait or are settled."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Mean every dead letter that waits.")]
SettleLimitOption = Annotated[
    int, typer.Option(min=1, help="So many at most, oldest first.", show_default="no limit")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would be done, and do nothing.")
]


@group.callback()
def _group() -> None:
    """The messages that a consumer could not handle and set aside."""


@group.command("list")
def list_waiting(
    topic: TopicOption = None,
    consumer_group: GroupOption = None,
    error: ErrorOption = None,
    batch: BatchOption = None,
    since: SinceOption = None,
    settled: Annotated[
        bool, typer.Option("--settled", help="Also those that were replayed or discarded.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show so many at most, oldest first.")] = 100,
    transport: TransportOption = None,
    data_dir: DataDirOption = None,
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the dead letters that wait for a decision; nothing of what they say is shown."""
    place = Place.chosen(transport, data_dir, kafka_bootstrap_servers, config)
    filters = Filters(topic, consumer_group, error, batch, since)

    async def work() -> tuple[str, list[DeadLetter]]:
        async with place.opened() as (box, platform):
            wanted = filters.wanted(platform.clock.now(), settled_too=settled)
            async with aclosing(upto(box.letters(wanted), limit + 1)) as letters:
                return box.place, [letter async for letter in letters]

    where, found = run_to_end(work)
    shown = found[:limit]
    if json_output:
        print_json([outline(letter) for letter in shown])
    elif shown:
        print_list(shown, settled_too=settled)
    else:
        tell(f"There are none of these in {where}.")
    if len(found) > limit:
        tell("There are more: --limit.")


@group.command()
def show(
    dead_letter: Annotated[str, typer.Argument(metavar="ID", help="Id, as the list tells it.")],
    characters: Annotated[
        int, typer.Option(min=1, help="Show so many characters of the value at most.")
    ] = 10_000,
    transport: TransportOption = None,
    data_dir: DataDirOption = None,
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show one dead letter with its cause and what it says, which may name students."""
    place = Place.chosen(transport, data_dir, kafka_bootstrap_servers, config)

    async def work() -> DeadLetter:
        async with place.opened() as (box, _platform):
            wanted = Wanted(ids=frozenset({dead_letter}), settled_too=True)
            async with aclosing(box.letters(wanted)) as letters:
                async for letter in letters:
                    return letter
            raise _unknown({dead_letter}, box)

    letter = run_to_end(work)
    if json_output:
        print_json(whole(letter))
    else:
        print_whole(letter, characters)


@group.command()
def replay(
    ids: IdsArgument = None,
    every: AllOption = False,
    topic: TopicOption = None,
    consumer_group: GroupOption = None,
    error: ErrorOption = None,
    batch: BatchOption = None,
    since: SinceOption = None,
    limit: SettleLimitOption = sys.maxsize,
    to_everyone: Annotated[
        bool,
        typer.Option("--to-everyone", help="Have every group handle them, not only who failed."),
    ] = False,
    dry_run: DryRunOption = False,
    transport: TransportOption = None,
    data_dir: DataDirOption = None,
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Publish dead letters again, for the group that had set them aside, and settle them.

    Mend the cause first, and try a few with --limit: a consumer most of whose messages fail stops
    itself.  One that fails again waits again.  Replaying the same one twice does no harm.
    """
    place = Place.chosen(transport, data_dir, kafka_bootstrap_servers, config)
    filters = Filters(topic, consumer_group, error, batch, since)
    refusal = refusal_of(None if to_everyone else place.groups)
    found = _surveyed(place, filters, ids or [], every, limit, refusal)
    if dry_run:
        _tell_survey(found, "replayed", json_output)
        return

    def act(box: DeadLetterBox, letters: Sequence[DeadLetter]) -> Awaitable[int]:
        return box.replay(letters, to_everyone=to_everyone)

    done = _settle(place, found, act, "replayed", is_named=bool(ids))
    print_outcome("replayed", done, found, as_json=json_output)
    if done and place.is_embedded:
        tell("The server publishes them within seconds, or once it is started.")
    if done < len(found.ids) or found.refused:
        raise typer.Exit(1)


@group.command()
def discard(
    ids: IdsArgument = None,
    every: AllOption = False,
    topic: TopicOption = None,
    consumer_group: GroupOption = None,
    error: ErrorOption = None,
    batch: BatchOption = None,
    since: SinceOption = None,
    limit: SettleLimitOption = sys.maxsize,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRunOption = False,
    transport: TransportOption = None,
    data_dir: DataDirOption = None,
    kafka_bootstrap_servers: ServersOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Settle dead letters without handling them; they stay to be seen for a while.

    By their ids they can be replayed all the same: in the embedded bus for 30 days, on a broker
    for as long as its topics keep them.
    """
    place = Place.chosen(transport, data_dir, kafka_bootstrap_servers, config)
    filters = Filters(topic, consumer_group, error, batch, since)
    found = _surveyed(place, filters, ids or [], every, limit, lambda _letter: None)
    if dry_run:
        _tell_survey(found, "discarded", json_output)
        return
    if found.ids and not yes:
        print_survey(found) if not json_output else None
        typer.confirm(f"Discard {len(found.ids):,} dead letters?", abort=True, err=True)
    done = _settle(
        place, found, lambda box, letters: box.discard(letters), "discarded", is_named=bool(ids)
    )
    print_outcome("discarded", done, found, as_json=json_output)
    if done < len(found.ids):
        raise typer.Exit(1)


def _surveyed(
    place: Place,
    filters: Filters,
    ids: Collection[str],
    every: bool,
    limit: int,
    refusal: Refusal,
) -> Survey:
    """Return what is meant.  Raises ``WrongUse`` when nothing was named, ``NotFound``."""
    if not ids and not every and filters.is_empty:
        raise WrongUse("say which dead letters: ids, a filter as --topic, or --all.")
    if every and (ids or not filters.is_empty):
        raise WrongUse("--all means every dead letter; leave it out, or the ids and filters.")
    if ids and not filters.is_empty:
        raise WrongUse("ids say which dead letters are meant; leave out the filters.")

    async def work() -> Survey:
        async with place.opened() as (box, platform):
            wanted = filters.wanted(platform.clock.now(), ids, settled_too=bool(ids))
            found = await survey(box, wanted, refusal, limit)
            missing = set(ids) - set(found.ids) - found.refused.keys()
            if missing and len(found.ids) + len(found.refused) < limit:
                raise _unknown(missing, box)
            return found

    return run_to_end(work)


def _settle(place: Place, found: Survey, act: Act, word: Word, *, is_named: bool) -> int:
    total = len(found.ids)
    so_far = 0

    def on_progress(done: int) -> None:
        nonlocal so_far
        so_far = done
        shown.doing(word.capitalize(), done, total)

    async def work() -> int:
        async with place.opened() as (box, _platform):
            wanted = Wanted(ids=frozenset(found.ids), settled_too=is_named)
            return await settle(box, wanted, lambda letters: act(box, letters), on_progress)

    if not total:
        return 0
    done = None
    with steps() as shown:
        try:
            done = run_to_end(work)
        finally:
            if done is None:
                tell(f"{so_far:,} of {total:,} were {word} before it ended.")
    return done


def _tell_survey(found: Survey, word: Word, as_json: bool) -> None:
    if as_json:
        print_json(survey_as_json(found))
    else:
        print_survey(found)
        tell(f"{len(found.ids):,} would be {word}; nothing was done.")


def _unknown(ids: Collection[str], box: DeadLetterBox) -> NotFound:
    return NotFound(f"there is no dead letter {', '.join(sorted(ids))} in {box.place}")
