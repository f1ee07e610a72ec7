"""What fails in a thread is raised where it is waited for, and leaves nothing behind."""

import weakref

import pytest

from huleedu.core.hops import ThreadHops
from tests.support.garbage import Held, let_go, no_collector

pytestmark = pytest.mark.anyio


async def test_a_result_comes_back_and_an_error_is_raised() -> None:
    """The error is the very one, with the place in the thread in its traceback."""
    hops = ThreadHops()
    error = KeyError("one")

    def fail() -> None:
        raise error

    assert await hops.thread(lambda: 1) == 1
    with pytest.raises(KeyError) as raised:
        await hops.thread(fail)
    assert raised.value is error
    assert raised.traceback[-1].name == "fail"


async def test_an_error_keeps_nothing_of_its_caller() -> None:
    """No circle is left for the collector: whatever was in hand goes as soon as it is let go."""
    hops = ThreadHops()

    def fail() -> None:
        raise KeyError("one")

    async def ask() -> weakref.ref[Held]:
        held = Held()
        with pytest.raises(KeyError):
            await hops.thread(fail)
        return weakref.ref(held)

    with no_collector():
        await let_go(await ask())
