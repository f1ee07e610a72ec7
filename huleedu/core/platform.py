"""Everything that a module needs of the outside world, in one bundle that a test can exchange."""

from dataclasses import dataclass, field
from random import Random, SystemRandom

from huleedu.core.clock import Clock, SystemClock
from huleedu.core.hops import Hops, ThreadHops
from huleedu.core.ids import Ids, RandomIds


@dataclass(frozen=True)
class Platform:
    """Clock, identifiers, randomness and hops to threads.

    The defaults are the real ones; they must be made inside a running event loop.
    """

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    random: Random = field(default_factory=SystemRandom)
    hops: Hops = field(default_factory=ThreadHops)
