"""What happened in a run, in order, to be read by people and compared by machines."""

import hashlib

from tests.simulation.loop import SimulatedLoop

_TOPIC_ENDS = ("huleedu.", ".v1")


class History:
    """One line an event."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._lines: list[tuple[int, float, str, str]] = []

    def tell(self, who: str, what: str) -> None:
        self._lines.append((self._loop.steps, self._loop.now, who, what))

    def lines(self) -> list[str]:
        return [
            f"{step:>6} {now:>10.4f} s  {who:<12} {what}" for step, now, who, what in self._lines
        ]

    def digest(self) -> str:
        """Return what two runs share only when everything happened alike at the same step."""
        return hashlib.blake2b(repr(self._lines).encode(), digest_size=8).hexdigest()


def short_topic(topic: str) -> str:
    return topic.removeprefix(_TOPIC_ENDS[0]).removesuffix(_TOPIC_ENDS[1])
