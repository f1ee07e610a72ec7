"""Worker processes: what happens to a text, and only to it, when one dies, hangs or is stopped."""

import os
import signal
import socket
import sys
from collections.abc import Callable

import anyio
import psutil
import pytest

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured, TooLarge, Unavailable
from huleedu.spellcheck.checker import Checker
from huleedu.spellcheck.errors import CheckerDied, CheckerTimedOut
from huleedu.spellcheck.framing import CheckRequest, send
from huleedu.spellcheck.model import CheckedText
from huleedu.spellcheck.pool import CheckerPool
from huleedu.spellcheck.worker import GRACE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ENGLISH = Language.ENGLISH
# Words that are all different and all unknown: seconds of work.
LONG = " ".join(
    f"q{chr(97 + n % 26)}z{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}w" for n in range(1500)
)
LONG_TEXT = " ".join([LONG] * 150)


def english_pool(workers: int = 1, text_timeout_seconds: float = 30.0) -> CheckerPool:
    return CheckerPool([ENGLISH], workers=workers, text_timeout_seconds=text_timeout_seconds)


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, with a limit."""
    with anyio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - other processes set no event of ours
            await anyio.sleep(0.005)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def fork_server_of(worker: int) -> int:
    parent = psutil.Process(worker).ppid()
    assert isinstance(parent, int)
    return parent


def processes_below(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


async def test_a_text_is_checked_as_in_this_process(english: Checker) -> None:
    """The pool answers as the library does, whatever the text holds."""
    texts = ["teh cat", "", "\0\r\n\ufeffdefinately 😀 goverment's", "half a pair \ud800 teh"]
    async with english_pool() as pool:
        for text in texts:
            assert english.check(text) == await pool.check(text, ENGLISH)


async def test_many_texts_wait_for_few_workers(english: Checker) -> None:
    """More calls than workers are all answered, each with its own text's answer."""
    answers: dict[str, CheckedText] = {}

    async def check(text: str) -> None:
        answers[text] = await pool.check(text, ENGLISH)

    texts = [f"definately text{'x' * number} teh" for number in range(40)]
    async with english_pool(workers=2) as pool, anyio.create_task_group() as calls:
        for text in texts:
            calls.start_soon(check, text)

    assert {text: english.check(text) for text in texts} == answers
    assert pool.worker_pids == ()


async def test_loading_and_checking_leave_the_event_loop_free() -> None:
    """While the languages load and a long text is checked, other tasks run."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0.001)

    async with english_pool() as pool, anyio.create_task_group() as others:
        others.start_soon(count)
        await pool.started()
        while_loading = turns
        await pool.check(LONG, ENGLISH)
        others.cancel_scope.cancel()

    assert while_loading > 20
    assert turns - while_loading > 20


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_worker_that_dies_fails_its_text_and_no_other(how: signal.Signals) -> None:
    """The call that it worked on raises; the others, and the next one, are answered."""
    failed: list[CheckerDied] = []
    done: list[CheckedText] = []

    async def check(text: str) -> None:
        try:
            done.append(await pool.check(text, ENGLISH))
        except CheckerDied as error:
            failed.append(error)

    async with english_pool(workers=2) as pool:
        await pool.check("warm", ENGLISH)
        async with anyio.create_task_group() as calls:
            calls.start_soon(check, LONG_TEXT)
            (victim,) = pool.worker_pids
            await until(lambda: psutil.Process(victim).cpu_times().user > 0.05)
            calls.start_soon(check, "teh second")
            await until(lambda: len(done) == 1)
            os.kill(victim, how)
        assert (await pool.check("teh third", ENGLISH)).corrected == "the third"
        assert victim not in pool.worker_pids

    assert len(failed) == 1
    assert [each.corrected for each in done] == ["the second"]


async def test_a_worker_that_died_while_idle_fails_no_text() -> None:
    """The next text gets another worker."""
    async with english_pool() as pool:
        await pool.check("warm", ENGLISH)
        (victim,) = pool.worker_pids
        os.kill(victim, signal.SIGKILL)
        await until(lambda: gone(victim))

        assert (await pool.check("teh next", ENGLISH)).corrected == "the next"
        assert victim not in pool.worker_pids


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "busy"])
async def test_a_text_that_overruns_is_given_up_and_its_worker_replaced(stopped: bool) -> None:
    """A worker that hangs or works on and on is killed at the deadline."""
    async with english_pool(text_timeout_seconds=0.2) as pool:
        await pool.check("warm", ENGLISH)
        (victim,) = pool.worker_pids
        if stopped:
            os.kill(victim, signal.SIGSTOP)
        with pytest.raises(CheckerTimedOut, match=r"0\.2 seconds"):
            await pool.check("teh text" if stopped else LONG_TEXT, ENGLISH)
        await until(lambda: gone(victim))

        assert (await pool.check("teh next", ENGLISH)).corrected == "the next"


async def test_a_cancelled_check_ends_its_worker() -> None:
    """Nobody waits for an answer that nobody wants; the next text is answered at once."""
    async with english_pool() as pool:
        await pool.check("warm", ENGLISH)
        (victim,) = pool.worker_pids
        with anyio.move_on_after(0.1) as scope:
            await pool.check(LONG_TEXT, ENGLISH)
        await until(lambda: gone(victim))

        assert scope.cancelled_caught
        assert (await pool.check("teh next", ENGLISH)).corrected == "the next"


async def test_workers_outlive_a_fork_server_that_dies() -> None:
    """Work in hand is finished, and a new fork server makes the next workers."""
    done: list[CheckedText] = []

    async def check_long() -> None:
        done.append(await pool.check(LONG_TEXT, ENGLISH))

    async with english_pool(workers=2) as pool:
        await pool.check("warm", ENGLISH)
        (worker,) = pool.worker_pids
        server = fork_server_of(worker)
        async with anyio.create_task_group() as calls:
            calls.start_soon(check_long)
            await anyio.wait_all_tasks_blocked()
            os.kill(server, signal.SIGKILL)
            assert (await pool.check("teh second", ENGLISH)).corrected == "the second"
        assert len(done) == 1
        others = set(pool.worker_pids) - {worker}
        assert len(others) == 1
        assert fork_server_of(others.pop()) not in {server, 1}
    await until(lambda: gone(worker))


async def test_a_text_is_tried_again_when_the_fork_server_went_with_its_worker() -> None:
    """Who kills everything at once does not mean the text."""
    done: list[CheckedText] = []

    async def check() -> None:
        done.append(await pool.check("teh " + LONG_TEXT, ENGLISH))

    async with english_pool() as pool:
        await pool.check("warm", ENGLISH)
        (worker,) = pool.worker_pids
        server = fork_server_of(worker)
        async with anyio.create_task_group() as calls:
            calls.start_soon(check)
            await until(lambda: psutil.Process(worker).cpu_times().user > 0.05)
            os.kill(worker, signal.SIGKILL)
            os.kill(server, signal.SIGKILL)

    assert done[0].corrected.startswith("the ")


async def test_signals_to_the_whole_program_do_not_stop_work_in_hand() -> None:
    """Ctrl-C and a supervisor's SIGTERM reach every process; the pool's own ends decide."""
    async with english_pool() as pool:
        await pool.check("warm", ENGLISH)
        (worker,) = pool.worker_pids
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)
            os.kill(fork_server_of(worker), number)
        await pool.check("teh text", ENGLISH)

        assert (worker,) == pool.worker_pids
        assert os.getsid(worker) != os.getsid(0)


async def test_closing_ends_every_process_whatever_it_does() -> None:
    """Idle, busy and stopped workers and the fork server are gone; calls under way are told."""
    refused: list[Unavailable] = []

    async def check() -> None:
        try:
            await pool.check(LONG_TEXT, ENGLISH)
        except Unavailable as error:
            refused.append(error)

    pool = english_pool(workers=3)
    before = set(processes_below(os.getpid()))
    async with anyio.create_task_group() as calls, pool:
        await pool.check("warm", ENGLISH)
        calls.start_soon(check)
        calls.start_soon(check)
        await until(lambda: len(pool.worker_pids) == 2)
        os.kill(pool.worker_pids[0], signal.SIGSTOP)
        started = set(processes_below(os.getpid())) - before
        await pool.aclose()

    assert len(started) == 3
    await until(lambda: all(gone(pid) for pid in started))
    assert len(refused) == 2
    with pytest.raises(Unavailable, match="closed"):
        await pool.check("late", ENGLISH)


PROGRAM = """
import anyio, sys
from huleedu.core.enums import Language
from huleedu.spellcheck.pool import CheckerPool

async def main():
    async with CheckerPool([Language.ENGLISH], workers=2) as pool:
        async with anyio.create_task_group() as calls:
            calls.start_soon(pool.check, sys.stdin.read(), Language.ENGLISH)
            while not pool.worker_pids:
                await anyio.sleep(0.01)
            await pool.check("another worker, idle from here on", Language.ENGLISH)
            print("working", flush=True)

anyio.run(main)
"""


async def test_nothing_is_left_when_the_program_is_killed() -> None:
    """kill -9 of the program ends the fork server and the workers, also the one at work."""
    program = await anyio.open_process([sys.executable, "-c", PROGRAM], stderr=None)
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        with anyio.fail_after(20):
            await program.stdin.send(LONG_TEXT.encode())
            await program.stdin.aclose()
            assert (await program.stdout.receive()).startswith(b"working")
        started = processes_below(program.pid)
    finally:
        program.kill()
        await program.aclose()

    assert len(started) == 3
    await until(lambda: all(gone(pid) for pid in started))


ENDLESS_WORKER = """
import socket, sys
from huleedu.core.enums import Language
from huleedu.spellcheck import worker

class Endless:
    def check(self, text):
        while True:
            pass

worker.serve(socket.socket(fileno=int(sys.argv[1])), {Language.ENGLISH: Endless()})
"""


async def test_an_orphan_at_work_ends_itself() -> None:
    """Were program and fork server killed at once, a worker at work outlives them by seconds."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await anyio.open_process(
            [sys.executable, "-c", ENDLESS_WORKER, str(theirs.fileno())],
            stdin=None,
            stdout=None,
            stderr=None,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        send(ours, CheckRequest(ENGLISH, b"text", 0.1 - GRACE_SECONDS))
        try:
            with anyio.fail_after(20):
                assert await process.wait() == -signal.SIGALRM
        finally:
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def test_a_language_that_cannot_be_loaded_is_the_operators_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index directory that cannot be used is reported with its name, each time."""
    monkeypatch.setenv("HULEEDU_CACHE_DIR", "/dev/null/cache")
    async with english_pool() as pool:
        for _ in range(2):
            with pytest.raises(Misconfigured, match="/dev/null/cache"):
                await pool.started()


async def test_what_the_pool_was_not_made_for_is_refused() -> None:
    """Another language, a text over the limit, a pool without workers."""
    async with CheckerPool([ENGLISH], workers=1, text_bytes_max=10) as pool:
        with pytest.raises(Misconfigured, match="sv"):
            await pool.check("hej", Language.SWEDISH)
        with pytest.raises(TooLarge, match="12 bytes"):
            await pool.check("åäöåäö", ENGLISH)
    with pytest.raises(Misconfigured):
        CheckerPool([ENGLISH], workers=0)
