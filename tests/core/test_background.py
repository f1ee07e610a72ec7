"""A background task that dies is seen at once and ends the process, never in silence."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from huleedu.core.background import BackgroundTasks
from huleedu.core.errors import Misconfigured, TaskDied

pytestmark = pytest.mark.anyio


async def dies() -> None:
    raise ZeroDivisionError("of shame")


async def returns() -> None:
    await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("run", "says", "cause"),
    [
        (dies, "the background task relay died: ZeroDivisionError: of shame", ZeroDivisionError),
        (returns, "the background task relay ended though it must not", type(None)),
    ],
)
async def test_a_dead_task_shows_at_once_and_ends_the_rest(
    run: Callable[[], Awaitable[None]], says: str, cause: type
) -> None:
    """It is a trouble before the end; the body may stop in order, and then the error is raised."""
    told = anyio.Event()
    troubles: list[str] = []

    async def body() -> None:
        async with BackgroundTasks(on_death=told.set) as tasks:
            tasks.start("other", anyio.sleep_forever)
            tasks.start("relay", run)
            troubles.extend(tasks.troubles())
            await told.wait()
            troubles.extend(tasks.troubles())

    with pytest.raises(TaskDied, match=says) as raised:
        await body()

    assert troubles == [says]
    assert raised.value.exit_code == 70
    assert isinstance(raised.value.__cause__, cause)


async def test_a_body_that_does_not_stop_is_cancelled() -> None:
    """When nobody listens to the death, the whole group ends all the same."""

    async def body() -> None:
        async with BackgroundTasks(linger_seconds=0.05) as tasks:
            tasks.start("relay", dies)
            await anyio.sleep_forever()

    with anyio.fail_after(10), pytest.raises(TaskDied):
        await body()


async def test_every_dead_task_is_told() -> None:
    """A second death within the time to stop is a second trouble, and the first is raised."""

    async def body() -> None:
        async with BackgroundTasks(linger_seconds=60) as tasks:
            tasks.start("one", dies)
            tasks.start("two", returns)
            while len(tasks.troubles()) < 2:
                await anyio.lowlevel.checkpoint()

    with anyio.fail_after(10), pytest.raises(TaskDied, match="one died"):
        await body()


async def test_the_end_of_the_body_ends_the_tasks() -> None:
    """Tasks that run for ever are cancelled, and that is no error."""
    ended = anyio.Event()

    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with BackgroundTasks() as tasks:
        tasks.start("relay", forever)
        await anyio.lowlevel.checkpoint()

    assert ended.is_set()
    assert tasks.troubles() == []


async def test_the_bodys_own_error_leaves_as_it_is() -> None:
    """What the body raises is not wrapped, so that its exit code is found."""

    async def body() -> None:
        async with BackgroundTasks() as tasks:
            tasks.start("relay", anyio.sleep_forever)
            raise Misconfigured("port 5000 is in use")

    with pytest.raises(Misconfigured, match="port"):
        await body()


async def test_cancellation_from_outside_passes() -> None:
    """A group that is cancelled ends without an error of its own."""
    with anyio.move_on_after(0.05) as scope:
        async with BackgroundTasks() as tasks:
            tasks.start("relay", anyio.sleep_forever)
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert tasks.troubles() == []
