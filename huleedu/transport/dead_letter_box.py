"""Looking into dead letters and deciding about them, wherever a transport keeps them.

A dead letter waits until somebody settles it: replays it, once its cause is mended, or discards
it.  A replay that fails again becomes a new dead letter, which waits in its turn.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from huleedu.core.envelope import decode
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Message
from huleedu.core.topics import DEAD_LETTER_SUFFIX, TOPICS
from huleedu.transport import replays

SLICE_LETTERS = 100
SLICE_BYTES = 4 * 2**20

Settlement = Literal["replayed", "discarded", "settled"]
"""What became of a dead letter; ``settled``: the transport does not remember which."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One message that a group set aside."""

    id: str
    """By which this dead letter is named; the same for as long as it is kept."""
    message: Message
    """As it was set aside, on its topic of dead letters, the cause in its headers."""
    settlement: Settlement | None = None
    """None: it waits."""

    @property
    def topic(self) -> str:
        """The topic on which the message failed."""
        return replays.origin_topic(self.message)

    @property
    def group(self) -> str | None:
        """Who set it aside."""
        return self.cause("group")

    @property
    def batch_id(self) -> str | None:
        """The batch that it is about; None when what is left of it does not say."""
        known = {topic.name: topic.key for topic in TOPICS.values()}
        if self.topic not in known:
            return None
        try:
            named = decode(self.topic, self.message.value).data.batch_id
        except MalformedMessage:
            named = None
        return named or (_text(self.message.key) if known[self.topic] == "batch_id" else None)

    def cause(self, name: str) -> str | None:
        """Return a header that tells the cause: ``error-class``, ``attempts``…"""
        return self.message.headers.get(replays.DEAD_LETTER_PREFIX + name)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant: those to which everything given here applies."""

    ids: frozenset[str] | None = None
    topic: str | None = None
    """Where it failed; its topic of dead letters names the same."""
    group: str | None = None
    error: str | None = None
    """Class or code of the error: ``MalformedMessage``, ``VALIDATION_ERROR``."""
    batch_id: str | None = None
    since: datetime | None = None
    """Failed at this moment or later."""
    settled_too: bool = False
    """Also those about which somebody has decided."""

    @property
    def origin_topic(self) -> str | None:
        """The topic on which it failed, if that is given."""
        return None if self.topic is None else self.topic.removesuffix(DEAD_LETTER_SUFFIX)

    def means(self, letter: DeadLetter) -> bool:
        """Tell whether a dead letter is among those meant."""
        return (
            (self.settled_too or letter.settlement is None)
            and (self.ids is None or letter.id in self.ids)
            and self.origin_topic in {None, letter.topic}
            and self.group in {None, letter.group}
            and self.error in {None, letter.cause("error-class"), letter.cause("error-code")}
            and (self.since is None or _failed_since(letter, self.since))
            # Last, since it reads the value.
            and self.batch_id in {None, *([] if self.batch_id is None else [letter.batch_id])}
        )


class DeadLetterBox(Protocol):
    """The dead letters of one deployment."""

    @property
    def place(self) -> str:
        """Where they are kept, for people."""
        ...

    def letters(self, wanted: Wanted) -> AsyncGenerator[DeadLetter]:
        """Return those that are meant, oldest first (on Kafka: in each partition).

        Those that come while it is read are not among them, or a replay that fails at once would
        be found again without end.  Raises ``Unavailable`` when they cannot be read.
        """
        ...

    async def replay(self, letters: Sequence[DeadLetter], *, to_everyone: bool = False) -> int:
        """Publish again what :func:`replays.why_not` does not refuse, and note it as replayed.

        Return how many were published: fewer than given when somebody else settled some
        meanwhile, or when they were replayed to the same groups before and these would recognise
        the repeat.  Raises ``Unavailable``: it may have happened to some; doing it again does no
        harm.
        """
        ...

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Note that they are not to be handled any more; return how many, as ``replay`` does."""
        ...


class Kind(msgspec.Struct, frozen=True, order=True):
    """What several dead letters have in common."""

    topic: str
    group: str
    error_class: str


class Survey(msgspec.Struct):
    """What would be settled."""

    ids: list[str] = msgspec.field(default_factory=list)
    counts: dict[Kind, int] = msgspec.field(default_factory=dict)
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    """Id → why it cannot be replayed, for those that cannot."""


async def survey(
    box: DeadLetterBox, wanted: Wanted, refusal: Callable[[DeadLetter], str | None], limit: int
) -> Survey:
    """Return what is meant, at most ``limit`` of them, and which of it ``refusal`` refuses."""
    found = Survey()
    async with aclosing(upto(box.letters(wanted), limit)) as letters:
        async for letter in letters:
            why = refusal(letter)
            if why is not None:
                found.refused[letter.id] = why
                continue
            found.ids.append(letter.id)
            kind = Kind(letter.topic, letter.group or "", letter.cause("error-class") or "")
            found.counts[kind] = found.counts.get(kind, 0) + 1
    return found


async def settle(
    box: DeadLetterBox,
    wanted: Wanted,
    act: Callable[[Sequence[DeadLetter]], Awaitable[int]],
    on_progress: Callable[[int], None],
) -> int:
    """Have ``act`` settle what is meant, which ``wanted.ids`` names, slice by slice.

    Return how many it did; ``on_progress`` is told after each slice.
    """
    done = 0
    held: list[DeadLetter] = []
    limit = len(wanted.ids or ())
    async with aclosing(upto(box.letters(wanted), limit)) as letters:
        async for letter in letters:
            held.append(letter)
            size = sum(len(one.message.value) for one in held)
            if len(held) == SLICE_LETTERS or size >= SLICE_BYTES:
                done += await act(held)
                held = []
                on_progress(done)
    if held:
        done += await act(held)
        on_progress(done)
    return done


def refusal_of(groups: Collection[str] | None) -> Callable[[DeadLetter], str | None]:
    """Return what tells why a dead letter cannot be replayed to one of these groups.

    None: to every group, whoever had set it aside.
    """

    def why_not(letter: DeadLetter) -> str | None:
        whole = replays.why_not(letter.message)
        if whole is not None or groups is None or letter.group is None or letter.group in groups:
            return whole
        return f"no group {letter.group} listens in this deployment"

    return why_not


async def upto(letters: AsyncGenerator[DeadLetter], limit: int) -> AsyncGenerator[DeadLetter]:
    """Return the first ``limit`` of these, and close what they come from."""
    count = 0
    async with aclosing(letters) as source:
        if limit:
            async for letter in source:
                yield letter
                count += 1
                if count == limit:
                    return


def _failed_since(letter: DeadLetter, since: datetime) -> bool:
    failed_at = replays.moment_of(letter.cause("failed-at"))
    return failed_at is not None and failed_at >= since


def _text(key: bytes) -> str | None:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
