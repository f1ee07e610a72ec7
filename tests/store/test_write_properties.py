"""Any interleaving of writers that succeed, fail and give up."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.errors import Conflict
from tests.support.stores import note_store, read_notes, write_note
from tests.support.virtual_time import run_virtually

T = TypeVar("T")


class SlowHops:
    """A thread takes a moment to be had, and a moment to be back; work is done in between."""

    def __init__(self, before_ms: int, after_ms: int) -> None:
        self._before = before_ms / 1000
        self._after = after_ms / 1000

    async def thread(self, work: Callable[[], T]) -> T:
        await anyio.sleep(self._before)
        result = work()
        with anyio.CancelScope(shield=True):  # as with real threads: nobody leaves their work
            await anyio.sleep(self._after)
        return result


class Writer(NamedTuple):
    kind: Literal["writes", "fails"]
    starts_ms: int
    patience_ms: int | None


writers = st.builds(
    Writer,
    kind=st.sampled_from(["writes", "writes", "fails"]),
    starts_ms=st.integers(0, 6),
    patience_ms=st.none() | st.integers(0, 25),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(writers, min_size=3, max_size=12), st.integers(1, 10), st.integers(0, 10))
def test_each_writer_learns_the_truth(plan: list[Writer], before_ms: int, after_ms: int) -> None:
    """Whoever got a result is in the store, whoever got an exception is not, who gave up may be;
    nobody waits for ever."""

    async def main() -> tuple[dict[int, str], list[str]]:
        outcomes: dict[int, str] = {}

        async def one(number: int, writer: Writer) -> None:
            def fail(connection: object) -> str:
                write_note(str(number))(connection)  # type: ignore[arg-type]
                raise Conflict("on purpose")

            await anyio.sleep(writer.starts_ms / 1000)
            outcomes[number] = "gave up"
            patience = None if writer.patience_ms is None else writer.patience_ms / 1000
            with anyio.move_on_after(patience):
                work = write_note(str(number)) if writer.kind == "writes" else fail
                try:
                    outcomes[number] = await store.write(work)
                except Conflict:
                    outcomes[number] = "failed"

        with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
            hops = SlowHops(before_ms, after_ms)
            async with note_store(Path(folder) / "s.db", hops) as store:
                with anyio.fail_after(1):  # of the loop's own time
                    async with anyio.create_task_group() as tasks:
                        for number, writer in enumerate(plan):
                            tasks.start_soon(one, number, writer)
                return outcomes, await store.read(read_notes)

    outcomes, kept = run_virtually(main)
    done = {str(number) for number, outcome in outcomes.items() if outcome == str(number)}
    given_up = {
        str(number)
        for number, outcome in outcomes.items()
        if outcome == "gave up" and plan[number].kind == "writes"
    }

    assert len(outcomes) == len(plan)
    assert done <= set(kept) <= done | given_up
    assert len(kept) == len(set(kept))


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
