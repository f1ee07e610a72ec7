"""In which order messages leave an outbox, on every transport (see ``conformance``)."""

from datetime import timedelta

from huleedu.store import outbox
from tests.support.consumers import Recorder
from tests.transport.bus import Bus, group, raw


class OrderingConformance:
    """A part of ``TransportConformance``."""

    async def test_messages_leave_in_the_order_in_which_they_were_said_whatever_their_times(
        self, bus: Bus
    ) -> None:
        """A clock that was ahead and is put right, or goes back with each message, changes no
        order: neither of what waits already nor of what is said while others leave."""
        sender = await bus.store("sender")
        recorder = Recorder()
        begin = bus.platform.clock.now()
        said = [raw("a", number) for number in range(30)]

        async def say_at_times_that_go_back(first: int) -> None:
            for number in range(first, first + 15):
                at = begin + timedelta(days=30) - number * timedelta(hours=1)
                await sender.write(lambda db: outbox.add(db, [said[number]], at))  # noqa: B023

        await say_at_times_that_go_back(0)
        async with bus.running([group("g", recorder)], [sender]):
            await say_at_times_that_go_back(15)
            await bus.until_handled(sender)

        assert recorder.values() == [message.value for message in said]
