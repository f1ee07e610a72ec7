"""What may go wrong, how often it does in a run, and how often it did."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """A kind of fault; each is injected by whoever simulates the thing that fails."""

    CRASH = "crash"
    """A process is gone between two steps of its event loop: at any await of any of its tasks."""
    CRASH_BEFORE_COMMIT = "crash before commit"
    CRASH_AFTER_COMMIT = "crash after commit"
    """The transaction is durable, and nobody lives to hear of it."""
    CRASH_AMID_CHECK = "crash amid a check"
    """A process that checks texts dies with one in hand, others of its partition being done."""
    STOP = "stop"
    """SIGTERM: the process ends in order, and is started again."""
    DISK_FULL = "disk full"
    STORE_LOCKED = "store locked"
    CONTENT_AWAY = "content away"
    LOST_ACKNOWLEDGEMENT = "lost acknowledgement"
    """A delivery was handled, and whoever delivered it does not learn so: it comes again."""
    FAILED_HANDLER = "failed handler"
    """A delivery fails before anything of it is done."""
    DUPLICATE = "duplicate"
    """A delivery comes twice."""
    DELAY = "delay"
    """A delivery waits, so that other keys and other topics overtake it."""
    CLOCK_JUMP = "clock jump"
    REBALANCE = "rebalance"
    """A member of a consumer group leaves and joins again."""
    ZOMBIE = "zombie"
    """A process stands still, loses its partitions, and goes on as if nothing had been."""
    FETCH_FAILED = "fetch failed"
    OFFSET_NOT_COMMITTED = "offset not committed"
    UNKNOWN_PUBLISH = "unknown publish"
    """The broker took what was published, or did not, and the answer is lost."""
    BROKER_RESTART = "broker restart"
    """Every connection is lost; a transaction that just ended has no marker in some partitions."""
    CLOCK_JUMP_DAYS = "clock jump of days"
    """The clock jumps by up to so many days that everything is old or to come; house is kept."""
    MONTH_PASSED = "month passed"
    """So does it while a delivery was handled and not acknowledged: it comes again."""
    TEXT_DAMAGED = "text damaged"
    """One text is no longer what it was, for good."""
    REFERENCES_UNANSWERED = "references unanswered"
    """Where the texts of one batch are, nobody ever says."""
    GROUP_AWAY = "group away"
    """One group's store is full, or its process down, until all others are done."""
    GROUP_STOPPED = "group stopped"
    """The breaker of one group stops it, until its process is started anew after all others."""


SHORT_PHASES = frozenset({Fault.CLOCK_JUMP_DAYS, Fault.MONTH_PASSED, Fault.TEXT_DAMAGED})
"""Kinds after which only the deadline of its phase ends a batch."""


MOSTLY = {
    Fault.CRASH: 0.0008,
    Fault.CRASH_BEFORE_COMMIT: 0.006,
    Fault.CRASH_AFTER_COMMIT: 0.006,
    Fault.CRASH_AMID_CHECK: 0.10,
    Fault.STOP: 0.0003,
    Fault.DISK_FULL: 0.01,
    Fault.STORE_LOCKED: 0.02,
    Fault.CONTENT_AWAY: 0.05,
    Fault.LOST_ACKNOWLEDGEMENT: 0.06,
    Fault.FAILED_HANDLER: 0.06,
    Fault.DUPLICATE: 0.06,
    Fault.DELAY: 0.10,
    Fault.CLOCK_JUMP: 0.0008,
    Fault.REBALANCE: 0.0008,
    Fault.ZOMBIE: 0.0005,
    Fault.FETCH_FAILED: 0.01,
    Fault.OFFSET_NOT_COMMITTED: 0.10,
    Fault.UNKNOWN_PUBLISH: 0.03,
    Fault.BROKER_RESTART: 0.08,
    Fault.CLOCK_JUMP_DAYS: 0.001,
    Fault.MONTH_PASSED: 0.05,
    Fault.TEXT_DAMAGED: 0.2,
    Fault.REFERENCES_UNANSWERED: 0.5,
    Fault.GROUP_AWAY: 0.06,
    Fault.GROUP_STOPPED: 0.06,
}
"""Kind → the odds at each point where it can happen (a step, a commit, a delivery, a call)."""

FAULTS_MAX = 12
"""Of one run: after as many the world behaves, so that a run ends soon."""
KINDS_IN_A_RUN = (0, 1, 2, 3, 4, 6)


class Faults:
    """The faults of one run: a few kinds, drawn by the seed, each with its own odds."""

    def __init__(
        self,
        random: Random,
        allowed: Iterable[Fault],
        most: int = FAULTS_MAX,
        among: Iterable[Fault] = tuple(Fault),
    ) -> None:
        """The seed draws its kinds ``among`` these; those not ``allowed`` do not happen."""
        self._random = random
        kinds = [kind for kind in Fault if kind in set(among)]
        chosen = set(random.sample(kinds, min(len(kinds), random.choice(KINDS_IN_A_RUN))))
        eagerness = random.choice((0.5, 1.0, 3.0))
        self._odds = {
            kind: min(0.5, MOSTLY[kind] * eagerness)
            for kind in kinds
            if kind in chosen and kind in set(allowed)
        }
        self._together: dict[tuple[Fault, ...], float] = {}
        self._left = most
        self.is_over = False
        self.injected: Counter[Fault] = Counter()

    @property
    def kinds(self) -> list[Fault]:
        """The kinds that this run may see."""
        return list(self._odds)

    def may(self, kind: Fault) -> bool:
        """Tell whether this run has such faults at all; to be asked before a costly question."""
        return kind in self._odds and not self.is_over

    def strikes(self, kind: Fault) -> bool:
        """Tell whether it happens now."""
        odds = self._odds.get(kind)
        if odds is None or self.is_over or self._random.random() >= odds:
            return False
        if self._left <= 0:
            return False
        self._left -= 1
        self.injected[kind] += 1
        return True

    def one_of(self, kinds: tuple[Fault, ...]) -> Fault | None:
        """Return which of several kinds happens now, if any; costs one draw."""
        odds = self._together.get(kinds)
        if odds is None:
            odds = self._together[kinds] = sum(self._odds.get(kind, 0.0) for kind in kinds)
        drawn = self._random.random()
        if self.is_over or drawn >= odds or self._left <= 0:
            return None
        for kind in kinds:
            drawn -= self._odds.get(kind, 0.0)
            if drawn < 0:
                self._left -= 1
                self.injected[kind] += 1
                return kind
        return None

    def between(self, least: float, most: float) -> float:
        """Return a number for a fault that happens: how long, how far."""
        return self._random.uniform(least, most)

    def stop(self) -> None:
        """Let nothing go wrong any more."""
        self.is_over = True
