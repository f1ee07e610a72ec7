"""Hurt the relay of an outbox for a long time, and tell what a reader saw.

``python -m tests.transport.kafka.prove_relay --rounds N --seed S``
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio

from huleedu.transport.kafka.steps import Step
from tests.support.kafka_broker import KafkaBroker
from tests.transport.kafka.exactness import Seen
from tests.transport.kafka.relay_process import Plan
from tests.transport.kafka.relay_trial import Trial, long_enough, trial

ROUNDS_A_STORE = 20
IN_A_TRANSACTION = (Step.BEGUN, Step.ROW_SENT, Step.ROWS_ACKNOWLEDGED, Step.POSITION_SENT)
STEPS = {
    # Who sleeps in the midst of a transaction is the one to be afraid of.
    "stop": [*Step, *IN_A_TRANSACTION],
    "kill": list(Step),
    # Where the broker may seem to be away; the lease has nothing to do with it.
    "fail": [s for s in Step if s not in (Step.LEASE_TAKEN, Step.BEAT_DUE, Step.BEATEN)],
}


def planned(chance: random.Random, step: Step, action: str) -> Plan:
    """Return a plan for a step, at once or in the middle of what follows it."""
    skip = chance.randint(0, 5) if step in (Step.ROW_SENT, Step.BEGUN, Step.COMMITTED) else 0
    return Plan(step, action, skip, chance.choice((0.0, 0.0, chance.uniform(0.001, 0.03))))


async def one_round(one: Trial, chance: random.Random, broker: KafkaBroker | None) -> None:
    """Do one random thing to the relays, or to the broker where it is ours."""
    kind = chance.random()
    if broker is not None and kind > 0.9:
        await one.broker_away(broker, chance.choice((0.0, 0.3, 2.0, 7.0)))
    elif kind < 0.1:
        await one.sleep_alone(
            planned(chance, chance.choice((*IN_A_TRANSACTION, Step.COMMITTED)), "stop"),
            long_enough(),
        )
    elif kind < 0.3:
        await one.random_moment(chance.choice((signal.SIGSTOP, signal.SIGKILL)))
    else:
        action = chance.choice(("stop", "stop", "kill", "fail"))
        await one.round(planned(chance, chance.choice(STEPS[action]), action))


async def prove(bootstrap_servers: str, broker: KafkaBroker | None, rounds: int, seed: int) -> bool:
    """Run the rounds, on a new outbox now and then; print what happened; return whether exact."""
    chance = random.Random(seed)
    exact, total, done, hurt = True, 0, 0, Counter[str]()
    began = time.monotonic()
    while done < rounds:
        now = min(ROUNDS_A_STORE, rounds - done)
        with tempfile.TemporaryDirectory(prefix="relay-") as directory:
            async with trial(Path(directory), bootstrap_servers, chance.randrange(2**32)) as one:
                for _ in range(now):
                    await one_round(one, chance, broker)
                seen: Seen = await one.finish()
        done += now
        total += seen.said
        hurt += one.hurt
        exact = exact and seen.is_exact
        print(f"{done:4} rounds, {time.monotonic() - began:5.0f} s: {seen}", flush=True)  # noqa: T201
    for what, times in sorted(hurt.items()):
        print(f"  {times:3} × {what}")  # noqa: T201
    verdict = "each row once, in order" if exact else "NOT EXACT"
    print(f"seed {seed}: {total} rows through {done} rounds: {verdict}")  # noqa: T201
    return exact


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--bootstrap-servers", help="a broker that runs; else one is started")
    chosen = options.parse_args()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    if chosen.bootstrap_servers:
        exact = anyio.run(prove, chosen.bootstrap_servers, None, chosen.rounds, seed)
        return 0 if exact else 1
    with tempfile.TemporaryDirectory(prefix="kafka-") as directory:
        broker = KafkaBroker(Path(directory))
        broker.start()
        try:
            exact = anyio.run(prove, broker.bootstrap_servers, broker, chosen.rounds, seed)
            return 0 if exact else 1
        finally:
            broker.kill()


if __name__ == "__main__":
    sys.exit(main())
