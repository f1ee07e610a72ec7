"""A served program frees what its libraries leave in circles, though its collector is slow."""

import gc
import weakref
from collections.abc import Iterator

import anyio
import pytest

from huleedu.cli import signals
from tests.support.garbage import Held, let_go


@pytest.fixture
def collector_as_before() -> Iterator[None]:
    """The program sets the collector of its process, which here is the tests'."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector_as_before")
def test_circles_are_freed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before there are as many objects as the collector would wait for."""
    monkeypatch.setattr(signals, "COLLECT_SECONDS", 0.1)

    def circle() -> weakref.ref[Held]:
        held = Held()
        held.__dict__["itself"] = held
        return weakref.ref(held)

    async def serve(_stop: anyio.Event) -> None:
        await let_go(circle(), seconds=20)

    signals.run_until_signalled(serve)
