"""What every transport must keep, whichever it is; bound to each one by its own test file.

Nothing here asks how messages travel: they are put into an outbox, heard by groups, and looked
for until they are there.
"""

import anyio
import pytest

from huleedu.core.errors import PeerUnavailable, Rejected
from huleedu.core.message import Message
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.failures import BUG_ATTEMPTS_MAX, PAUSE_FIRST_SECONDS
from huleedu.transport.protocol import Delivery
from tests.support.consumers import (
    CANCELLED,
    PROCEED,
    Recorder,
    note_effects,
    proceed,
    read_effects,
)
from tests.support.eventually import eventually
from tests.transport.bus import Bus, group, raw, say, until, until_sent
from tests.transport.independence import IndependenceConformance
from tests.transport.ordering import OrderingConformance
from tests.transport.setting_aside import SettingAsideConformance
from tests.transport.stopping import StoppingConformance


class TransportConformance(
    IndependenceConformance, OrderingConformance, StoppingConformance, SettingAsideConformance
):
    """The promises of ``protocol.Transport``; a binding gives the fixture ``bus``."""

    async def test_messages_of_one_key_arrive_in_order_whatever_fails(self, bus: Bus) -> None:
        """Each message fails up to twice, in several deliveries at once: those of one key are
        still handled in the order in which they were said, and none is lost."""
        sender = await bus.store("sender")
        failures: dict[bytes, int] = {}

        async def unreliable(delivery: Delivery) -> None:
            await anyio.lowlevel.checkpoint()
            for message in delivery.messages:
                count = failures.get(message.value, 0)
                if count < bus.platform.random.choice([0, 0, 0, 1, 2]):
                    failures[message.value] = count + 1
                    raise PeerUnavailable("not now")

        recorder = Recorder(unreliable)
        said = [raw(key, number) for number in range(12) for key in "abcde"]
        await say(sender, bus, said)
        async with bus.running([group("g", recorder, batch_max=4, concurrency=3)], [sender]):
            await bus.until_handled(sender)

        assert failures
        for key in (b"a", b"b", b"c", b"d", b"e"):
            first = list(dict.fromkeys(recorder.values(key)))
            assert first == [m.value for m in said if m.key == key]

    async def test_every_group_hears_everything_once(self, bus: Bus) -> None:
        """Two groups on two topics each handle each message of both once."""
        sender = await bus.store("sender")
        recorders = [Recorder(), Recorder()]
        said = [raw(key, n, topic) for n in range(10) for key in "ab" for topic in TOPICS]
        await say(sender, bus, said)
        groups = [group(f"g{n}", recorder, TOPICS) for n, recorder in enumerate(recorders)]
        async with bus.running(groups, [sender]):
            await bus.until_handled(sender)
            await until(lambda: all(len(r.handled) >= len(said) for r in recorders))

        for recorder in recorders:
            assert sorted(m.event_id for m in recorder.handled) == sorted(m.event_id for m in said)

    async def test_a_group_hears_its_topics_only(self, bus: Bus) -> None:
        """A delivery holds messages of one topic, of those that the group listens to."""
        sender = await bus.store("sender")
        one, both = Recorder(), Recorder()
        await say(sender, bus, [raw("a", n, topic) for n in range(5) for topic in TOPICS])
        async with bus.running([group("one", one), group("both", both, TOPICS)], [sender]):
            await bus.until_handled(sender)
            await until(lambda: len(one.handled) >= 5 and len(both.handled) >= 10)

        assert {m.topic for m in one.handled} == {PROCEED}
        assert all(len({m.topic for m in d.messages}) == 1 for d in both.deliveries)
        assert {d.group for d in both.deliveries} == {"both"}

    async def test_key_value_and_headers_arrive_as_they_were_said(self, bus: Bus) -> None:
        """Any bytes and any text arrive byte for byte."""
        sender, recorder = await bus.store("sender"), Recorder()
        odd = Message(PROCEED, b"\x00\xff", b"\xfe\x00{", {"event-id": "1", "owner": "Åsa ☃"})
        await say(sender, bus, [odd])
        async with bus.running([group("g", recorder)], [sender]):
            await until(lambda: bool(recorder.handled))

        (heard,) = recorder.handled
        assert (heard.topic, heard.key, heard.value, heard.headers) == (
            odd.topic,
            odd.key,
            odd.value,
            odd.headers,
        )

    async def test_what_may_heal_comes_again_later_and_later(self, bus: Bus) -> None:
        """A message that finds the world in trouble is tried again after growing pauses, and
        counts its attempts, until it heals; no attempt is the last."""
        sender = await bus.store("sender")

        async def heals_late(delivery: Delivery) -> None:
            if delivery.attempt <= BUG_ATTEMPTS_MAX:
                raise PeerUnavailable("the content store is away")

        recorder = Recorder(heals_late)
        await say(sender, bus, [raw("a", 1)])
        async with bus.running([group("g", recorder)], [sender]):
            await until(lambda: bool(recorder.handled))

        pauses = [later - at for at, later in zip(recorder.at, recorder.at[1:], strict=False)]
        assert [d.attempt for d in recorder.deliveries] == [1, 2, 3, 4, 5, 6]
        assert recorder.aside == []
        for number, pause in enumerate(pauses):
            assert pause >= PAUSE_FIRST_SECONDS * 2**number / 2

    async def test_trouble_shows_while_it_lasts(self, bus: Bus) -> None:
        """Who asks whether messages flow is told which group on which topic is held up, and why."""
        sender, healed = await bus.store("sender"), anyio.Event()

        async def heals(_: Delivery) -> None:
            if not healed.is_set():
                raise PeerUnavailable("the content store is away")

        await say(sender, bus, [raw("a", 1)])
        async with bus.running([group("g", Recorder(heals))], [sender]) as transport:
            await until(lambda: PROCEED in " ".join(transport.held_up()))
            told = " ".join(transport.held_up())
            assert transport.hears("g")
            assert list(transport.troubles()) == []  # everything else flows
            healed.set()
            await bus.until_handled(sender)
            assert list(transport.held_up()) == []

        assert "g" in told
        assert "the content store is away" in told

    async def test_a_failing_message_holds_up_only_its_own_key(self, bus: Bus) -> None:
        """While one message cannot be handled, those of other keys are, those behind it are not."""
        sender, healed = await bus.store("sender"), anyio.Event()

        async def stuck(delivery: Delivery) -> None:
            if not healed.is_set() and b"a-0" in [m.value for m in delivery.messages]:
                raise PeerUnavailable("not this one")

        recorder = Recorder(stuck)
        said = [raw(key, number) for number in range(5) for key in "abc"]
        await say(sender, bus, said)
        async with bus.running([group("g", recorder)], [sender]):
            await until(lambda: len(recorder.handled) >= 10)
            before = recorder.values()
            healed.set()
            await bus.until_handled(sender)

        assert sorted(before) == sorted(m.value for m in said if m.key != b"a")
        assert recorder.values(b"a") == [f"a-{number}".encode() for number in range(5)]

    async def test_a_rejected_message_goes_aside_and_its_neighbours_count(self, bus: Bus) -> None:
        """What breaks a rule and what cannot be read become dead letters at once, byte for byte,
        with the cause; everything around them has its effect."""
        sender, store = await bus.store("sender"), await bus.store("module")

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            if any(one.batch_id == "refused" for one in heard):
                raise Rejected("against the rule")
            return note_effects(db, heard, now)

        good = [proceed(bus.platform, f"b{number}") for number in range(6)]
        refused = proceed(bus.platform, "refused")
        broken = Message(PROCEED, b"b1", b"\xff{", {"event-id": "broken", "owner": "o7"})
        await say(sender, bus, [*good[:3], broken, refused, *good[3:]])
        consumer = StoreConsumer(store, apply, bus.platform, "module")
        async with bus.running([group("g", consumer)], [sender, store]):
            await bus.until_handled(sender)
            await until_sent(store)
            dead = await eventually(bus.dead_letters, lambda letters: len(letters) >= 2)

        effects = await store.read(read_effects)
        assert sorted(batch for batch, _ in effects) == [f"b{number}" for number in range(6)]
        by_id = {letter.event_id: letter for letter in dead}
        assert by_id.keys() == {"broken", refused.event_id}
        for message, name in ((broken, "MalformedMessage"), (refused, "Rejected")):
            letter = by_id[message.event_id]
            assert letter.topic == f"{PROCEED}.dlq"
            assert (letter.key, letter.value) == (message.key, message.value)
            assert letter.headers.items() >= message.headers.items()
            assert letter.headers["dead-letter-error-class"] == name
            assert letter.headers["dead-letter-error-code"] == "VALIDATION_ERROR"
            assert letter.headers["dead-letter-group"] == "g"
            assert letter.headers["dead-letter-origin-topic"] == PROCEED
        assert by_id[refused.event_id].headers["dead-letter-error-message"] == "against the rule"

    async def test_a_bug_of_ours_is_tried_five_times_and_set_aside(self, bus: Bus) -> None:
        """A message on which the module itself fails gets five attempts, and then goes aside."""
        sender, store = await bus.store("sender"), await bus.store("module")
        attempts = 0

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            nonlocal attempts
            if any(one.batch_id == "bug" for one in heard):
                attempts += 1
                raise ZeroDivisionError("ours")
            return note_effects(db, heard, now)

        await say(sender, bus, [proceed(bus.platform, b) for b in ("bug", "good")])
        consumer = StoreConsumer(store, apply, bus.platform, "module")
        async with bus.running([group("g", consumer)], [sender, store]):
            dead = await eventually(bus.dead_letters, bool)

        assert attempts == BUG_ATTEMPTS_MAX
        assert dead[0].headers["dead-letter-attempts"] == str(BUG_ATTEMPTS_MAX)
        assert dead[0].headers["dead-letter-error-class"] == "ZeroDivisionError"
        assert dead[0].headers["dead-letter-error-code"] == "UNKNOWN_ERROR"
        assert [batch for batch, _ in await store.read(read_effects)] == ["good"]

    async def test_an_effect_happens_once_though_its_acknowledgement_is_lost(
        self, bus: Bus
    ) -> None:
        """A module that fails between its commit and its acknowledgement hears the messages
        again, and they change nothing."""
        sender, store = await bus.store("sender"), await bus.store("module")
        inner = StoreConsumer(store, note_effects, bus.platform, "module")

        async def fails_after_commit(delivery: Delivery) -> None:
            await inner.handle(delivery)
            if delivery.attempt <= 2:
                raise PeerUnavailable("lost on the way back")

        recorder = Recorder(fails_after_commit)
        said = [proceed(bus.platform, f"b{number % 3}") for number in range(9)]
        await say(sender, bus, [*said, *said[:4]])  # and some are said twice
        async with bus.running([group("g", recorder)], [sender]):
            await bus.until_handled(sender)

        effects = await store.read(read_effects)
        assert max(d.attempt for d in recorder.deliveries) > 1
        assert sorted(event for _, event in effects) == sorted(m.event_id for m in said)
        for batch in ("b0", "b1", "b2"):
            assert [e for b, e in effects if b == batch] == [
                m.event_id for m in said if m.key == batch.encode()
            ]

    async def test_on_a_stop_the_message_in_hand_is_finished(self, bus: Bus) -> None:
        """Told to stop, the transport lets the handler end, notes its success, and gives it the
        message no more."""
        sender, go = await bus.store("sender"), anyio.Event()
        left: list[str] = []

        async def slow(_: Delivery) -> None:
            await go.wait()
            left.append("finished")

        first, second = Recorder(slow), Recorder()
        await say(sender, bus, [raw("a", 1)])
        async with anyio.create_task_group() as tasks:
            async with bus.running([group("g", first)], [sender]):
                await until(lambda: bool(first.deliveries))
                tasks.start_soon(self._let_go, go)
            # Only now, with the handler's end, did the transport stop.
            assert left == ["finished"]
        async with bus.running([group("g", second)], [sender]):
            await bus.until_handled(sender)
            await say(sender, bus, [raw("a", 2)])
            await until(lambda: bool(second.handled))

        assert second.values() == [b"a-2"]

    async def _let_go(self, go: anyio.Event) -> None:
        await anyio.sleep(0.1)  # the stop is under way by then, or will find the handler done
        go.set()

    async def test_a_restart_brings_what_was_not_acknowledged_and_nothing_else(
        self, bus: Bus
    ) -> None:
        """After a stop and a start, a group hears exactly the messages that it did not handle."""
        sender = await bus.store("sender")

        async def only_a(delivery: Delivery) -> None:
            if any(m.key != b"a" for m in delivery.messages):
                raise PeerUnavailable("not yet")

        first, second = Recorder(only_a), Recorder()
        said = [raw(key, number) for number in range(4) for key in "ab"]
        await say(sender, bus, said)
        async with bus.running([group("g", first)], [sender]):
            await until(lambda: len(first.handled) >= 4)
        async with bus.running([group("g", second)], [sender]):
            await bus.until_handled(sender)
            await until(lambda: len(second.handled) >= 4)

        assert first.values() == [f"a-{number}".encode() for number in range(4)]
        assert second.values() == [f"b-{number}".encode() for number in range(4)]

    async def test_an_outbox_filled_before_the_start_is_published(self, bus: Bus) -> None:
        """What was said while nobody listened is heard, and what is said later as well."""
        sender, recorder = await bus.store("sender"), Recorder()
        early = [raw("a", number) for number in range(500)]
        late = [raw("a", number) for number in range(500, 700)]
        await say(sender, bus, early)
        async with bus.running([group("g", recorder)], [sender]):
            for message in late:
                await say(sender, bus, [message])
            await bus.until_handled(sender)
            await until(lambda: len(recorder.handled) >= 700)

        assert recorder.values() == [m.value for m in (*early, *late)]

    async def test_a_blocked_topic_holds_up_no_other(self, bus: Bus) -> None:
        """While nothing of one topic can be handled, rows of another topic are sent."""
        sender, healed = await bus.store("sender"), anyio.Event()

        async def blocked(_: Delivery) -> None:
            if not healed.is_set():
                raise PeerUnavailable("not yet")

        stuck, free = Recorder(blocked), Recorder()
        await say(sender, bus, [raw(f"k{n}", n, PROCEED) for n in range(300)])
        await say(sender, bus, [raw(f"k{n}", n, CANCELLED) for n in range(300)])
        groups = [group("stuck", stuck, [PROCEED]), group("free", free, [CANCELLED])]
        async with bus.running(groups, [sender]):
            await until(lambda: len(free.handled) >= 300)
            assert stuck.handled == []
            healed.set()
            await bus.until_handled(sender)

        assert len(stuck.handled) == 300

    async def test_what_follows_is_heard_in_turn(self, bus: Bus) -> None:
        """A module's answer, written with its effect, reaches who listens to it, once."""
        sender, store = await bus.store("sender"), await bus.store("module")
        answers = Recorder()

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            note_effects(db, heard, now)
            return [raw(one.batch_id, 1, CANCELLED) for one in heard]

        consumer = StoreConsumer(store, apply, bus.platform, "module")
        await say(sender, bus, [proceed(bus.platform, f"b{n}") for n in range(20)])
        groups = [group("module", consumer), group("answers", answers, [CANCELLED])]
        async with bus.running(groups, [sender, store]):
            await until(lambda: len(answers.handled) >= 20)
            await until_sent(store)

        assert sorted(answers.values()) == sorted(f"b{n}-1".encode() for n in range(20))

    async def test_a_group_attaches_once(self, bus: Bus) -> None:
        """The same group on the same topic twice is a mistake of whoever composes the program."""
        with pytest.raises(ValueError, match=r"g .*already"):
            async with bus.running([group("g", Recorder()), group("g", Recorder())]):
                pass


TOPICS = (PROCEED, CANCELLED)
