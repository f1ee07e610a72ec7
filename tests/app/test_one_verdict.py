"""What breaks the contract is refused by every module that hears it, and nothing else is."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import NotFound
from huleedu.core.topics import TOPICS
from huleedu.results.views import view
from tests.app.hearers import DEAD_LETTER, HANDLED, all_hearers
from tests.bos.building import SUCCESS, essays_ready, phase_outcome, readiness_timeout
from tests.support.builders import AT, spellcheck_result
from tests.support.damages import Damage, any_field_wrong, contradictions, foreign
from tests.support.samples import BATCH_ID

pytestmark = pytest.mark.anyio


async def _verdicts(
    directory: Path, event: ProcessingEvent, damages: Iterable[Damage]
) -> dict[str, dict[str, str]]:
    """Return what each module that hears the event makes of each message."""
    async with all_hearers(directory) as hearers:
        hearing = [one for one in hearers if TOPICS[event].name in one.subscription.topics]
        return {
            damage.name: {one.name: await one.verdict_on(damage.message(number)) for one in hearing}
            for number, damage in enumerate(damages)
        }


@pytest.mark.parametrize("event", list(TOPICS))
async def test_a_message_that_breaks_the_contract_is_refused_by_all(
    tmp_path: Path, event: ProcessingEvent
) -> None:
    """A count that is wrong, an id twice, another phase: a dead letter wherever it is heard."""
    found = await _verdicts(tmp_path, event, contradictions(event))

    assert {n: v for n, v in found.items() if set(v.values()) != {DEAD_LETTER}} == {}


@pytest.mark.parametrize("event", list(TOPICS))
async def test_a_message_as_others_may_send_it_is_handled_by_all(
    tmp_path: Path, event: ProcessingEvent
) -> None:
    """Optional fields may be left out, unknown ones added."""
    found = await _verdicts(tmp_path, event, foreign(event))

    assert {n: v for n, v in found.items() if set(v.values()) != {HANDLED}} == {}


@pytest.mark.parametrize("event", list(TOPICS))
async def test_all_modules_agree_on_a_message(tmp_path: Path, event: ProcessingEvent) -> None:
    """With any field absent, empty, too long, of another type or unknown, it is handled by every
    module that hears it, or by none."""
    found = await _verdicts(tmp_path, event, any_field_wrong(event))

    assert len(found) > 50
    assert {n: v for n, v in found.items() if len(set(v.values())) > 1} == {}


async def test_what_is_about_nothing_is_refused_by_who_knows_and_shown_by_nobody(
    tmp_path: Path,
) -> None:
    """A batch or an essay that nobody registered: BOS and ELS, who keep the batches, refuse it.

    Results keeps what may still belong to a registration on its way, and shows what is registered.
    """
    messages = [
        spellcheck_result("nowhere", "essay-1"),
        spellcheck_result(BATCH_ID, "stranger"),
        essays_ready("nowhere", ["essay-1"]),
        readiness_timeout("nowhere", ["essay-1"]),
        phase_outcome("nowhere", SUCCESS, ["essay-1"]),
    ]
    async with all_hearers(tmp_path) as hearers:
        by_name = {one.name: one for one in hearers}
        results = by_name["results"].subscription.store
        assert results is not None
        before = await results.read(lambda db: view(db, BATCH_ID, AT))
        for message in messages:
            for name in ("bos", "els"):
                if message.topic in by_name[name].subscription.topics:
                    assert await by_name[name].verdict_on(message) == DEAD_LETTER
            assert await by_name["results"].verdict_on(message) == HANDLED
        after = await results.read(lambda db: view(db, BATCH_ID, AT))
        with pytest.raises(NotFound):
            await results.read(lambda db: view(db, "nowhere", AT))

    assert msgspec.structs.replace(after, updated_at=before.updated_at) == before
