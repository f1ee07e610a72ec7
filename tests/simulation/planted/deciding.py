"""Planted bugs in what the modules decide."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from huleedu.core.enums import EssayStatus
from huleedu.els import decide, phases, tracker
from huleedu.els.model import BatchView, Content, EssayView, ReadinessDecision
from tests.simulation.replaced import replaced
from tests.simulation.world import Build


class EarlyContentDropped(Build):
    """A text that comes before the registration of its batch is forgotten."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def take(view: BatchView, contents: Sequence[Content]) -> ReadinessDecision:
            if view.registered is None:
                return ReadinessDecision(view=view)
            return decide.take(view, contents)

        with super().patched(), replaced(tracker, "take", take):
            yield


class WrongSlotCount(Build):
    """A text that takes the place of another is counted as one more."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def take(view: BatchView, contents: Sequence[Content]) -> ReadinessDecision:
            decision = decide.take(view, contents)
            again = sum(essay_id in view.slots for essay_id in decision.kept)
            if view.registered is None or not again:
                return decision
            return replace(
                decision, view=replace(decision.view, filled=decision.view.filled + again)
            )

        with super().patched(), replaced(tracker, "take", take):
            yield


class TransitionCheckSkipped(Build):
    """Every result moves its essay, whatever that is already."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def settles(_essay: EssayView, _result: EssayStatus, _attempt: int | None) -> bool:
            return True

        with super().patched(), replaced(phases, "settles", settles):
            yield
