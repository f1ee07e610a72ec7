"""That no group waits for another: part of what every transport keeps."""

import anyio

from huleedu.core.errors import PeerUnavailable, Rejected, StoreUnavailable
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.protocol import Delivery
from tests.support.consumers import CANCELLED, Recorder, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.transport.bus import Bus, group, raw, say, until

MORE_THAN_ANY_WINDOW = 1_500
KEYS = 40


class IndependenceConformance:
    """The promises of groups to one another; a binding gives the fixture ``bus``."""

    async def test_a_group_that_is_away_holds_up_no_other(self, bus: Bus) -> None:
        """While one group can handle nothing, another handles more messages than any window; the
        first handles them all once it can, in order per key."""
        sender, healed = await bus.store("sender"), anyio.Event()

        async def away(_: Delivery) -> None:
            if not healed.is_set():
                raise StoreUnavailable("the store is locked")

        absent, other = Recorder(away), Recorder()
        said = [raw(f"k{n % KEYS}", n) for n in range(MORE_THAN_ANY_WINDOW)]
        await say(sender, bus, said)
        async with bus.running([group("absent", absent), group("other", other)], [sender]):
            await until(lambda: len(other.handled) == len(said))
            assert absent.handled == []
            healed.set()
            await until(lambda: len(absent.handled) == len(said))
            await bus.until_handled(sender)

        for key in {message.key for message in said}:
            in_order = [message.value for message in said if message.key == key]
            assert absent.values(key) == other.values(key) == in_order

    async def test_publishing_waits_for_no_group(self, bus: Bus) -> None:
        """A role that answers each message goes on while who hears the answers is away."""
        sender, answers = await bus.store("sender"), Recorder()

        async def away(_: Delivery) -> None:
            raise PeerUnavailable("not while this runs")

        async def answer(delivery: Delivery) -> None:
            message = delivery.messages[0]
            await transport.publish([raw(message.key.decode(), 1, CANCELLED)])

        asked = Recorder(answer)
        await say(sender, bus, [raw(f"k{n}", n) for n in range(300)])
        groups = [
            group("answers", asked, batch_max=1, concurrency=4),
            group("hears", answers, [CANCELLED]),
            group("away", Recorder(away), [CANCELLED]),
        ]
        async with bus.running(groups, [sender]) as transport:
            await until(lambda: len(asked.handled) == 300)
            await until(lambda: len({m.event_id for m in answers.handled}) == 300)

    async def test_a_restart_brings_a_group_what_it_has_not_handled(self, bus: Bus) -> None:
        """One group was away and the program is restarted: it is given everything, the group that
        had handled it nothing."""
        sender = await bus.store("sender")

        async def away(_: Delivery) -> None:
            raise StoreUnavailable("the store is locked")

        first, second, back = Recorder(), Recorder(), Recorder()
        said = [raw(f"k{n % KEYS}", n) for n in range(300)]
        await say(sender, bus, said)
        absent = group("absent", Recorder(away))
        async with bus.running([group("other", first), absent], [sender]):
            await until(lambda: len(first.handled) == len(said))
        async with bus.running([group("other", second), group("absent", back)], [sender]):
            await until(lambda: len(back.handled) == len(said))
            await bus.until_handled(sender)

        assert second.deliveries == []
        assert sorted(back.values()) == sorted(message.value for message in said)


class WaitingKeyConformance:
    """The promises of keys to one another, with more messages than any window."""

    async def test_a_key_that_waits_holds_up_no_other(self, bus: Bus) -> None:
        """One message cannot be handled: behind it wait more messages of its key than any window
        holds, and beside them as many of other keys are handled; then it, and what waits, is."""
        sender, healed = await bus.store("sender"), anyio.Event()

        async def stuck(delivery: Delivery) -> None:
            if not healed.is_set() and b"a-0" in [m.value for m in delivery.messages]:
                raise PeerUnavailable("not this one")

        recorder = Recorder(stuck)
        waits = [raw("a", n) for n in range(MORE_THAN_ANY_WINDOW)]
        others = [raw(f"k{n % KEYS}", n) for n in range(MORE_THAN_ANY_WINDOW)]
        await say(sender, bus, [waits[0], *others, *waits[1:]])
        await say(sender, bus, [raw("late", 1)])
        async with bus.running([group("g", recorder)], [sender]):
            await until(lambda: len(recorder.handled) > len(others))
            assert recorder.values(b"a") == []
            healed.set()
            await until(lambda: len(recorder.values(b"a")) == len(waits))

        assert recorder.values(b"a") == [message.value for message in waits]

    async def test_a_batch_that_waits_holds_up_no_other(self, bus: Bus) -> None:
        """A batch whose message cannot be taken for now holds up no other batch."""
        sender, store = await bus.store("sender"), await bus.store("module")
        is_healed = False

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            if not is_healed and any(one.batch_id == "stuck" for one in heard):
                raise PeerUnavailable("not this one")
            return note_effects(db, heard, now)

        stuck = [proceed(bus.platform, "stuck") for _ in range(5)]
        others = [proceed(bus.platform, f"b{n % KEYS}") for n in range(MORE_THAN_ANY_WINDOW)]
        await say(sender, bus, [*stuck, *others])
        consumer = StoreConsumer(store, apply, bus.platform, "module")
        async with bus.running([group("g", consumer)], [sender, store]):
            await eventually(lambda: store.read(read_effects), lambda e: len(e) == len(others))
            is_healed = True
            everything = len(others) + len(stuck)
            effects = await eventually(
                lambda: store.read(read_effects), lambda e: len(e) == everything
            )

        handled = [event for batch, event in effects if batch == "stuck"]
        assert handled == [message.event_id for message in stuck]

    async def test_a_refused_key_beside_one_that_waits(self, bus: Bus) -> None:
        """Setting a message aside goes on while another key waits."""
        sender = await bus.store("sender")

        async def behave(delivery: Delivery) -> None:
            keys = {message.key for message in delivery.messages}
            if b"stuck" in keys:
                raise PeerUnavailable("not this one")
            if b"bad" in keys:
                raise Rejected("against the rule")

        recorder = Recorder(behave)
        await say(sender, bus, [raw(key, n) for n in range(20) for key in ("stuck", "bad", "good")])
        async with bus.running([group("g", recorder)], [sender]):
            await until(lambda: len(recorder.aside) == 20 and len(recorder.handled) == 20)

        assert recorder.values() == [f"good-{n}".encode() for n in range(20)]
