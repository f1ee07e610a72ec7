"""What becomes of a message whose dead letter cannot be kept: part of every transport's promise."""

from collections.abc import Mapping

import anyio
import pytest

from huleedu.core.errors import PeerUnavailable, Rejected, StoreUnavailable
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.failures import PAUSE_FIRST_SECONDS
from huleedu.transport.protocol import Delivery
from tests.support.consumers import Recorder, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.transport.bus import Bus, group, raw, say, until, until_sent

FAILURES = 3
FAULTS = [LookupError("a bug of ours"), PeerUnavailable("away"), StoreUnavailable("disk full")]
every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)


class _Failing:
    """Fails to set aside a few times, and notes when."""

    def __init__(self, fault: Exception) -> None:
        self.at: list[float] = []
        self._fault = fault

    def strike(self) -> None:
        self.at.append(anyio.current_time())
        if len(self.at) <= FAILURES:
            raise self._fault

    def check_pauses(self) -> None:
        pauses = [later - at for at, later in zip(self.at, self.at[1:], strict=False)]
        assert len(pauses) == FAILURES
        assert all(p >= PAUSE_FIRST_SECONDS * 2**n / 2 for n, p in enumerate(pauses))


class SettingAsideConformance:
    """The promises about a fault amid setting aside; a binding gives the fixture ``bus``."""

    @every_fault
    async def test_what_cannot_be_set_aside_stays(self, bus: Bus, fault: Exception) -> None:
        """Whatever setting aside fails of, the message is tried again after growing pauses, is
        named meanwhile, holds up no other key, and becomes a dead letter once that works."""
        sender, failing = await bus.store("sender"), _Failing(fault)

        class Listener(Recorder):
            async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
                failing.strike()
                await super().set_aside(delivery, cause)

        async def refuse(delivery: Delivery) -> None:
            if any(message.key == b"bad" for message in delivery.messages):
                raise Rejected("against the rule")

        listener = Listener(refuse)
        good = [raw(f"k{number}", number) for number in range(20)]
        await say(sender, bus, [raw("bad", 1), *good])
        async with bus.running([group("g", listener)], [sender]) as transport:
            await until(lambda: str(fault) in " ".join(transport.held_up()))
            await until(lambda: bool(listener.aside))
            await bus.until_handled(sender)
            assert list(transport.held_up()) == []

        failing.check_pauses()
        assert [message.value for message, _ in listener.aside] == [b"bad-1"]
        assert sorted(listener.values()) == sorted(message.value for message in good)

    @every_fault
    async def test_so_with_a_module_that_has_a_store(self, bus: Bus, fault: Exception) -> None:
        """Its message stays as well, the group goes on, and one dead letter is kept in the end."""
        sender, store = await bus.store("sender"), await bus.store("module")
        failing = _Failing(fault)

        class Module(StoreConsumer):
            async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
                failing.strike()
                await super().set_aside(delivery, cause)

        def apply(db, heard, now):  # type: ignore[no-untyped-def]
            if any(one.batch_id == "refused" for one in heard):
                raise Rejected("against the rule")
            return note_effects(db, heard, now)

        refused = proceed(bus.platform, "refused")
        good = [proceed(bus.platform, f"b{number}") for number in range(20)]
        await say(sender, bus, [refused, *good])
        module = Module(store, apply, bus.platform, "module")
        async with bus.running([group("g", module)], [sender, store]) as transport:
            await until(lambda: str(fault) in " ".join(transport.held_up()))
            await bus.until_handled(sender)
            await until_sent(store)
            dead = await eventually(bus.dead_letters, bool)
            assert list(transport.held_up()) == []

        failing.check_pauses()
        assert [letter.event_id for letter in dead] == [refused.event_id]
        effects = await store.read(read_effects)
        assert sorted(event for _, event in effects) == sorted(m.event_id for m in good)
