"""Extraction in child processes: as good as inline, and nothing that a file does gets out."""

import os
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from huleedu.core.errors import Unavailable
from huleedu.files.child import PROGRAM
from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction import ExtractionLimits, extract
from huleedu.files.sandbox import ExtractInChild, Extractor
from tests.files.documents import paragraph, word_document
from tests.files.hostile import GOOD, WORD_FILES
from tests.files.inline import ExtractInline
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

LIMITS = ExtractionLimits()
WIDE = ExtractionLimits(elements_max=10**9, unpacked_bytes_max=2**30, text_bytes_max=2**28)
ROOT = Path(__file__).parents[2]


def children() -> list[psutil.Process]:
    """Return the extraction processes that are alive."""
    return [child for child in psutil.Process().children() if _extracts(child)]


def _extracts(child: psutil.Process) -> bool:
    try:
        return PROGRAM in child.cmdline()
    except psutil.NoSuchProcess:  # also a zombie's
        return False


async def living() -> list[psutil.Process]:
    return children()


async def worked(seconds: float) -> list[psutil.Process]:
    return [child for child in children() if child.cpu_times().user > seconds]


async def reason(extractor: Extractor, name: str, content: bytes) -> UnreadableReason:
    with pytest.raises(Unreadable) as caught:
        await extractor(name, content)
    assert name in str(caught.value)
    return caught.value.reason


async def test_a_child_reads_what_extract_reads() -> None:
    """Every encoding and both kinds of file, also where no file can be opened any more."""
    files = {
        "a.docx": GOOD,
        "b.txt": "åäö".encode(),
        "c.txt": "åäö".encode("cp1252"),
        "d.txt": b"\xff\xfe" + "åäö".encode("utf-16-le"),
        "e.txt": b"\xfe\xff" + "åäö".encode("utf-16-be"),
        "f.txt": "ö".encode() * 400_000,
    }

    async with ExtractInChild(LIMITS, children_max=1) as extractor:
        for name, content in files.items():
            assert await extractor(name, content) == extract(name, content, LIMITS)


async def test_a_refusal_comes_back_as_it_was_said() -> None:
    """The child's reason and words are those of extract."""
    content = WORD_FILES["PDF"][0]()
    with pytest.raises(Unreadable) as inline:
        await ExtractInline(LIMITS)("x/essay.docx", content)

    async with ExtractInChild(LIMITS) as extractor:
        with pytest.raises(Unreadable) as in_child:
            await extractor("x/essay.docx", content)

    assert str(in_child.value) == str(inline.value)
    assert in_child.value.reason is inline.value.reason


async def test_texts_do_not_get_mixed_up() -> None:
    """Of many files at once each gets its own text, with good and bad ones side by side."""
    texts: dict[int, str] = {}

    async def read(extractor: Extractor, number: int) -> None:
        if number % 5 == 0:
            assert await reason(extractor, f"{number}.txt", b"\0") is UnreadableReason.BINARY
        else:
            texts[number] = await extractor(f"{number}.txt", str(number).encode())

    async with (
        ExtractInChild(LIMITS, children_max=2, files_per_child_max=7) as extractor,
        anyio.create_task_group() as tasks,
    ):
        for number in range(40):
            tasks.start_soon(read, extractor, number)

    assert texts == {number: str(number) for number in range(40) if number % 5}


async def test_children_are_few_reused_and_gone_at_the_end() -> None:
    """One child serves file after file, is replaced when it has served enough, and then ends."""
    async with ExtractInChild(LIMITS, children_max=1, files_per_child_max=3) as extractor:
        seen = []
        for _ in range(4):
            await extractor("a.txt", b"Hello")
            seen.append([child.pid for child in children()])
        assert len(seen[0]) == 1
        assert seen[0] == seen[1]
        assert seen[2] == []  # it has served three
        assert seen[3] != seen[0]

    assert children() == []


async def test_a_file_that_takes_too_long_costs_its_child_and_nothing_else() -> None:
    """At the deadline the child is killed; the next file is read as if nothing had been."""
    slow = word_document("<w:p/>" * 3_000_000)

    async with ExtractInChild(WIDE, children_max=1, seconds_max=0.2) as extractor:
        assert await reason(extractor, "slow.docx", slow) is UnreadableReason.TOO_SLOW
        assert children() == []
        assert await extractor("good.docx", GOOD) == extract("good.docx", GOOD, LIMITS)


@pytest.mark.slow
async def test_processor_time_is_limited_for_each_file_anew() -> None:
    """The kernel ends a child that works too long, however much it had worked before."""
    work = word_document("<w:p/>" * 1_000_000 + paragraph("done"))
    too_much = word_document("<w:p/>" * 20_000_000)

    async with ExtractInChild(
        WIDE, children_max=1, cpu_seconds_max=2, seconds_max=60, memory_bytes_max=2**31
    ) as extractor:
        while not await worked(4):
            assert (await extractor("work.docx", work)).strip() == "done"
        assert len(children()) == 1
        assert await reason(extractor, "too_much.docx", too_much) is UnreadableReason.TOO_SLOW


async def test_a_file_that_takes_too_much_memory_is_refused() -> None:
    """The child meets its limit, and we do not."""
    async with ExtractInChild(LIMITS, memory_bytes_max=20 * 2**20) as extractor:
        large = await reason(extractor, "large.txt", b"a" * 30_000_000)
        assert large is UnreadableReason.TOO_MUCH_MEMORY
        unfinished = word_document(f'<w:p w:x="{" " * 20_000_000}"/>')
        tag = await reason(extractor, "tag.docx", unfinished)
        assert tag is UnreadableReason.TOO_MUCH_MEMORY
        assert await extractor("small.txt", b"Hello") == "Hello"


async def test_a_child_killed_on_a_file_makes_that_file_unreadable() -> None:
    """Whatever ends the child in the middle, the sender of the file gets an answer."""
    busy = word_document("<w:p/>" * 3_000_000)

    async def kill_the_child() -> None:
        (child,) = await eventually(lambda: worked(0.5), lambda found: len(found) == 1)
        child.kill()

    async with (
        ExtractInChild(WIDE, seconds_max=30) as extractor,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(kill_the_child)
        died = await reason(extractor, "busy.docx", busy)

    assert died is UnreadableReason.EXTRACTION_FAILED


async def test_a_child_that_died_while_idle_is_replaced_unnoticed() -> None:
    """A file is not blamed for what happened before it came."""
    async with ExtractInChild(LIMITS, children_max=1) as extractor:
        await extractor("a.txt", b"one")
        children()[0].kill()
        assert await extractor("b.txt", b"two") == "two"
        children()[0].kill()
        await eventually(living, lambda left: not left)
        assert await extractor("c.txt", b"three") == "three"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_meant_for_the_program_do_not_disturb(number: signal.Signals) -> None:
    """A child that is idle or at work goes on: the program finishes what it has in hand."""
    async with ExtractInChild(LIMITS, children_max=1) as extractor:
        await extractor("a.txt", b"one")
        (child,) = children()
        for text in (b"two", b"three", b"four"):
            child.send_signal(number)
            assert await extractor("b.txt", text) == text.decode()
        assert children() == [child]


async def test_a_child_is_out_of_reach_of_the_terminal() -> None:
    """Ctrl-C goes to the terminal's session, to which no child belongs."""
    async with ExtractInChild(LIMITS) as extractor:
        await extractor("a.txt", b"one")
        (child,) = children()

        assert os.getsid(child.pid) == child.pid != os.getsid(0)


async def test_a_child_knows_no_secrets_and_can_open_nothing() -> None:
    """Of our environment it has what the interpreter needs, and no file but its three pipes."""
    os.environ["A_SECRET_OF_OURS"] = "secret"
    try:
        async with ExtractInChild(LIMITS) as extractor:
            await extractor("a.txt", b"one")
            (child,) = children()
            assert "A_SECRET_OF_OURS" not in child.environ()
            assert child.rlimit(psutil.RLIMIT_NOFILE) == (3, 3)
            assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    finally:
        del os.environ["A_SECRET_OF_OURS"]


async def test_a_cancelled_request_leaves_no_child_at_work() -> None:
    """A client that goes away takes its work along."""
    busy = word_document("<w:p/>" * 3_000_000)

    async with ExtractInChild(WIDE, seconds_max=30) as extractor:
        with anyio.move_on_after(0.5) as scope:
            await extractor("busy.docx", busy)
        assert scope.cancelled_caught
        assert children() == []


async def test_without_processes_extraction_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the file's fault: the same again may succeed later."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with ExtractInChild(LIMITS) as extractor:
        with pytest.raises(Unavailable):
            await extractor("a.txt", b"one")

    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with ExtractInChild(LIMITS) as extractor:
        with pytest.raises(Unavailable):
            await extractor("a.txt", b"one")


@pytest.mark.slow
async def test_children_end_when_the_program_is_killed() -> None:
    """kill -9 of the program leaves no process behind."""
    program = (
        "import anyio; from huleedu.files.sandbox import *\n"
        "async def main():\n"
        "    async with ExtractInChild(ExtractionLimits()) as extractor:\n"
        "        print(await extractor('a.txt', b'one'), flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    async with await anyio.open_process(
        [sys.executable, "-c", program], cwd=ROOT, stderr=None
    ) as running:
        assert running.stdout is not None
        said = BufferedByteReceiveStream(running.stdout)
        assert await said.receive_until(b"\n", 100) == b"one"
        children_of_it = psutil.Process(running.pid).children()
        running.kill()
    assert len(children_of_it) == 1

    async def left() -> list[psutil.Process]:
        return [
            child
            for child in children_of_it
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        ]

    await eventually(left, lambda found: not found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORD_FILES)
async def test_no_hostile_file_gets_past_its_limits(kind: str) -> None:
    """In the child, with its limit of memory, each file has the same reason as without."""
    make, expected = WORD_FILES[kind]

    async with ExtractInChild(LIMITS) as extractor:
        assert await reason(extractor, "essay.docx", make()) is expected
