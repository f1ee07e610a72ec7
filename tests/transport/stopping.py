"""When a group is to stop rather than fill the dead letters: part of what every transport keeps."""

import anyio

from huleedu.core.errors import Rejected
from huleedu.core.message import Message
from huleedu.transport.breaker import WINDOW_MESSAGES
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.protocol import Delivery, Transport
from tests.support.consumers import PROCEED, Recorder, note_effects, proceed, read_effects
from tests.transport.bus import Bus, group, raw, say, until, until_sent

MANY = 300
"""Messages enough to tell that most of them fail, and to leave some."""


class StoppingConformance:
    """The promises about a group whose messages fail; a binding gives the fixture ``bus``."""

    async def test_a_module_whose_every_message_fails_stops(self, bus: Bus) -> None:
        """Not even a hundred messages go aside; then the group stops and says so, while others go
        on.  What it left is handled after a restart with the cause corrected, once."""
        sender, store = await bus.store("sender"), await bus.store("module")
        is_corrected = False

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            if not is_corrected:
                raise Rejected("against the rule")
            return note_effects(db, heard, now)

        said = [proceed(bus.platform, f"b{n % 7}") for n in range(MANY)]
        late = [proceed(bus.platform, f"b{n}") for n in range(20)]
        await say(sender, bus, said)
        groups = [group("g", StoreConsumer(store, apply, bus.platform, "module"))]
        other = Recorder()
        async with bus.running([*groups, group("other", other)], [sender, store]) as transport:
            await until(lambda: bool(_stopped(transport)))
            is_corrected = True  # which helps only who is restarted
            await say(sender, bus, late)
            await until(lambda: len(other.handled) >= MANY + len(late))
            await until_sent(store)
            (told,) = _stopped(transport)
            assert [transport.hears(name) for name in ("g", "other")] == [False, True]
        aside = {letter.event_id for letter in await bus.dead_letters()}
        assert await store.read(read_effects) == []
        async with bus.running(groups, [sender, store]):
            await bus.until_handled(sender)

        assert len(aside) == WINDOW_MESSAGES - 1
        assert f"g stopped on {PROCEED}: 100 of its last 100 messages" in told
        assert "against the rule" in told
        assert "restart" in told
        effects = [event for _, event in await store.read(read_effects)]
        assert sorted(effects) == sorted({m.event_id for m in (*said, *late)} - aside)
        assert {letter.event_id for letter in await bus.dead_letters()} == aside

    async def test_a_fetch_that_cannot_be_read_does_not_pass_at_once(self, bus: Bus) -> None:
        """Of messages that no restart makes readable, each start lets not even a hundred pass."""
        sender, store = await bus.store("sender"), await bus.store("module")
        said = [Message(PROCEED, b"b", b"{%d" % n, {"event-id": f"e{n}"}) for n in range(MANY)]
        await say(sender, bus, said)
        consumer = StoreConsumer(store, note_effects, bus.platform, "module")
        for start in (1, 2):
            async with bus.running([group("g", consumer)], [sender, store]) as transport:
                await until(lambda: bool(_stopped(transport)))
                await until_sent(store)
            aside = [letter.event_id for letter in await bus.dead_letters()]

            assert aside == [f"e{n}" for n in range(start * (WINDOW_MESSAGES - 1))]

    async def test_a_listener_without_a_store_stops_too(self, bus: Bus) -> None:
        """Several messages at once, each refused: not even a hundred go aside, and after a
        restart exactly the others are heard."""
        sender = await bus.store("sender")

        async def refuse(_: Delivery) -> None:
            await anyio.lowlevel.checkpoint()
            raise Rejected("against the rule")

        first, second = Recorder(refuse), Recorder()
        said = [raw(f"k{n}", n) for n in range(MANY)]
        await say(sender, bus, said)
        async with bus.running(
            [group("g", first, batch_max=1, concurrency=3)], [sender]
        ) as transport:
            await until(lambda: bool(_stopped(transport)))
        async with bus.running([group("g", second)], [sender]):
            await bus.until_handled(sender)
            await until(lambda: len(first.aside) + len(second.handled) >= MANY)

        aside = [message.value for message, _ in first.aside]
        assert WINDOW_MESSAGES // 2 < len(aside) <= WINDOW_MESSAGES
        assert sorted([*aside, *second.values()]) == sorted(m.value for m in said)

    async def test_less_than_half_of_the_messages_may_fail(self, bus: Bus) -> None:
        """A group that refuses two messages in five goes on, however many there are."""
        sender, store = await bus.store("sender"), await bus.store("module")
        said = [proceed(bus.platform, f"b{n % 4}") for n in range(MANY)]
        good = [message for n, message in enumerate(said) if n % 5 > 1]
        broken = [
            message
            if message in good
            else Message(message.topic, message.key, b"{", message.headers)
            for message in said
        ]
        await say(sender, bus, broken)
        consumer = StoreConsumer(store, note_effects, bus.platform, "module")
        async with bus.running([group("g", consumer)], [sender, store]) as transport:
            await bus.until_handled(sender)
            assert not _stopped(transport)

        effects = await store.read(read_effects)
        assert sorted(event for _, event in effects) == sorted(m.event_id for m in good)


def _stopped(transport: Transport) -> list[str]:
    return [told for told in transport.troubles() if " stopped on " in told]
