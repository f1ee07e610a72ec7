"""What a replay carries of its history, and who is to handle it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import Conflict
from huleedu.core.message import Message
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka.record import CUT_HEADER
from huleedu.transport.replays import CUT_FROM_BYTES, is_for, replayed, why_not

FIRST = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
names = st.text(min_size=1, max_size=20).filter(lambda name: not name.startswith("dead-letter-"))


def set_aside(message: Message, group: str, attempts: int, at: datetime) -> Message:
    cause = dead_letter_cause(Conflict("against the rule"), message, group, attempts, at)
    return dead_letter(message, cause)


@given(
    st.binary(),
    st.binary(),
    st.dictionaries(names, st.text(), max_size=3),
    st.lists(st.integers(1, 5), min_size=2, max_size=6),
)
def test_however_often_it_fails_again_a_message_stays_what_it_was(
    key: bytes, value: bytes, headers: dict[str, str], attempts: list[int]
) -> None:
    """Set aside and replayed again and again, a message keeps its bytes and its own headers, tells
    since when and how often it failed, and has no more headers than after the first time; each
    replay has an id of its own."""
    original = message = Message("t", key, value, headers)
    ids, sizes, letters = {message.event_id}, set(), set()
    for number, tries in enumerate(attempts):
        letter = set_aside(message, "g", tries, FIRST + timedelta(hours=number))
        assert letter.headers["dead-letter-first-failed-at"] == "2026-01-12T08:00:00.000000Z"
        assert letter.headers["dead-letter-attempts"] == str(sum(attempts[: number + 1]))
        message = replayed(letter)
        assert (message.topic, message.key, message.value) == ("t", key, value)
        own = {k: v for k, v in headers.items() if k != "event-id"}
        assert message.headers.items() >= own.items()
        assert message.headers["dead-letter-replays"] == str(number + 1)
        assert message == replayed(letter)
        ids.add(message.event_id)
        sizes.add(len(message.headers))
        letters.add(len(letter.headers))

    assert len(ids) == len(attempts) + 1
    assert sizes == {len({*original.headers, "event-id"}) + 4}
    assert max(letters) <= min(letters) + 1  # the count of replays


def test_a_replay_is_for_the_group_that_had_set_it_aside() -> None:
    """Other groups pass it over, unless it was replayed to everyone; what is no replay is for
    all, whatever else its headers say."""
    letter = set_aside(Message("t", b"k", b"v"), "g", 1, FIRST)

    assert is_for(replayed(letter), "g")
    assert not is_for(replayed(letter), "h")
    assert is_for(replayed(letter, to_everyone=True), "h")
    assert is_for(Message("t", b"k", b"v", letter.headers), "h")


def test_the_id_of_a_replay_says_whom_it_is_for() -> None:
    """To its group and to every group it goes under two ids, each the same however often; where
    the dead letter names no group both are the same replay."""
    letter = set_aside(Message("t", b"k", b"v"), "g", 1, FIRST)
    nobodys = Message("t.dlq", b"k", b"v", {"event-id": "e"})

    assert replayed(letter).event_id != replayed(letter, to_everyone=True).event_id
    assert replayed(letter, to_everyone=True) == replayed(letter, to_everyone=True)
    assert replayed(nobodys) == replayed(nobodys, to_everyone=True)


def test_two_groups_get_their_own_replays_of_one_event() -> None:
    """What two groups set aside is replayed to each under an id of its own."""
    letters = [set_aside(Message("t", b"k", b"v"), group, 1, FIRST) for group in "gh"]

    assert len({replayed(letter).event_id for letter in letters}) == 2


@pytest.mark.parametrize("nonsense", ["", "many", "-1", "9" * 5_000, "٣", "2026-01-12", "1.5"])
def test_headers_that_are_not_ours_fail_nothing(nonsense: str) -> None:
    """Whoever sends may write any header: counts that are none count as nothing, and a first time
    that is none is now."""
    headers = {
        f"dead-letter-{name}": nonsense
        for name in ("attempts", "replays", "first-failed-at", "failed-at")
    }
    letter = set_aside(Message("t", b"k", b"v", headers), "g", 2, FIRST)
    again = replayed(letter)

    assert letter.headers["dead-letter-attempts"] == "2"
    assert letter.headers["dead-letter-first-failed-at"] == "2026-01-12T08:00:00.000000Z"
    assert again.headers["dead-letter-replays"] == "1"


def test_what_is_not_whole_is_not_replayed() -> None:
    """A dead letter that was cut to size, and what is on no topic of dead letters, stay."""
    letter = set_aside(Message("t", b"k", b"v"), "g", 1, FIRST)
    cut = Message(letter.topic, b"k", b"v", {**letter.headers, CUT_HEADER: "2000000"})

    assert why_not(letter) is None
    assert "2000000" in str(why_not(cut))
    assert "no topic of dead letters" in str(why_not(Message("t", b"k", b"v")))
    assert CUT_FROM_BYTES == CUT_HEADER
