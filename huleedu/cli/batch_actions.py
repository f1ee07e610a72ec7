"""``huleedu batch extend | proceed | cancel | retry``: what a teacher does when not all is well."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import typer

from huleedu.cli.answers import ActionTaken
from huleedu.cli.client import PATIENCE_SECONDS
from huleedu.cli.failures import WrongUse
from huleedu.cli.options import (
    DEFAULT_SERVER,
    BatchArgument,
    JsonOption,
    PatienceOption,
    Server,
    ServerOption,
)
from huleedu.cli.output import print_json_bytes, print_table, tell
from huleedu.cli.signals import run_to_end
from huleedu.core.clock import from_text, to_text
from huleedu.core.messages.references import in_utc

_SPAN = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?")


def extend(
    batch_id: BatchArgument,
    deadline: Annotated[
        str | None,
        typer.Option(help="Wait until this time, with its offset: 2026-01-12T08:00+01:00."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            help="Wait so much longer than the deadline, or than now if it has passed: 2h, 1d12h.",
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Give a batch more time for its texts, also when its deadline has passed."""
    if (deadline is None) == (by is None):
        raise WrongUse("say until when to wait: either --deadline, or --by.")
    moment = None if deadline is None else _moment(deadline)
    span = None if by is None else _span(by)

    async def work() -> tuple[bytes, ActionTaken]:
        async with Server(server, patience).connected() as (client, platform):
            until = moment
            if span is not None:
                _, batch = await client.batch(batch_id)
                now = platform.clock.now()
                until = max(now, from_text(batch.readiness.deadline)) + span
            assert until is not None
            body = {"deadline": to_text(until)}
            return await client.act(batch_id, "extend", body, str(platform.ids.new()))

    _tell(*run_to_end(work), json_output=json_output)


def proceed(
    batch_id: BatchArgument,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Go on with the essays that are there; those that are missing fail."""
    _act(batch_id, "proceed", {}, Server(server, patience), json_output=json_output)


def cancel(
    batch_id: BatchArgument,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever reads the results.")] = None,
    cancelled_by: Annotated[str | None, typer.Option(help="Who cancels it.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Stop a batch; what was checked by then stays."""
    given = {"reason": reason, "cancelled_by": cancelled_by}
    body = {name: text for name, text in given.items() if text is not None}
    _act(batch_id, "cancel", body, Server(server, patience), json_output=json_output)


def retry(
    batch_id: BatchArgument,
    server: ServerOption = DEFAULT_SERVER,
    patience: PatienceOption = PATIENCE_SECONDS,
    json_output: JsonOption = False,
) -> None:
    """Check the essays again that failed and have a text, of a batch that has ended."""
    _act(batch_id, "retry", {}, Server(server, patience), json_output=json_output)


def _act(
    batch_id: str, action: str, body: Mapping[str, str], server: Server, *, json_output: bool
) -> None:
    async def work() -> tuple[bytes, ActionTaken]:
        async with server.connected() as (client, platform):
            # Sent again after a lost answer, it is the same wish: the key says so.
            return await client.act(batch_id, action, body, str(platform.ids.new()))

    _tell(*run_to_end(work), json_output=json_output)


def _tell(document: bytes, taken: ActionTaken, *, json_output: bool) -> None:
    if json_output:
        print_json_bytes(document)
        return
    print_table(["Batch", "Status"], [[taken.batch_id, taken.status]])
    tell(f"Follow it with: huleedu batch watch {taken.batch_id}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return in_utc(moment)
    except ValueError as error:
        raise WrongUse(f"{text!r} is no time. One is 2026-01-12T08:00+01:00.") from error
    raise WrongUse(f"{text!r} does not say its offset from UTC. Say {text}+01:00, or {text}Z.")


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None or not text:
        raise WrongUse(f"{text!r} is no span of time. Some are 45m, 2h and 1d12h.")
    days, hours, minutes = (int(number or 0) for number in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)
