"""Power is lost at moments of a recording: what must hold of the disk that is left.

Losing power once tells of one moment; a recording of what a program wrote and synced is cut at as
many as one likes, and what had not been synced by then is dropped, kept or torn.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from tests.crash.answered import Answered, lost
from tests.crash.process import HuleeduProcess
from tests.crash.verdict import damage
from tests.power.disk import ANSWER, Disk, records_in
from tests.power.recording import Recording, upload
from tests.support.classes import OVER, wait_until_over

RECOVER_SECONDS = 60.0


@dataclass(frozen=True)
class Loss:
    """A moment at which power is lost, what was answered until then, and what is left."""

    moment: int
    answered: Sequence[Answered]
    files: Sequence[tuple[str, bytes]]
    """Paths from the recording's root, and what is in them."""

    def put_back(self, directory: Path) -> None:
        """Write what is left into a directory."""
        for path, content in self.files:
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def losses(recording: Path, root: Path, seed: int, more: int) -> Iterator[Loss]:
    """Lose power right after each answer, at ``more`` moments of any kind, and at the end.

    ``recording`` tells what was done to the files below ``root``.

    After an answer both the least and something by chance is left, at the others by chance.
    """
    chance = random.Random(seed)
    records = list(records_in(recording.read_bytes()))
    unanswered = [moment for moment, record in enumerate(records) if record.kind != ANSWER]
    others = set(chance.sample(unanswered, more))
    disk, answered = Disk(), list[Answered]()
    for moment, record in enumerate(records):
        if record.kind == ANSWER:
            answered.append(msgspec.json.decode(record.data, type=Answered))
            yield _loss(root, moment, answered, disk, None)
        else:
            disk.apply(record)
        if record.kind == ANSWER or moment in others:
            yield _loss(root, moment, answered, disk, chance)
    yield _loss(root, len(records), answered, disk, None)


def _loss(
    root: Path,
    moment: int,
    answered: Sequence[Answered],
    disk: Disk,
    chance: random.Random | None,
) -> Loss:
    left = disk.left(str(root), chance)
    # What SQLite keeps in memory that processes share is made anew by whoever comes first.
    files = [
        (str(Path(path).relative_to(root)), content)
        for path, content in left.items()
        if not path.endswith("-shm")
    ]
    return Loss(moment, list(answered), files)


def faults_of(loss: Loss, data_dir: Path) -> Sequence[str]:
    """Return in words what was answered and is not there, and what is damaged."""
    return [*damage(data_dir), *lost(data_dir, loss.answered)]


def faults_after_restart(
    recording: Recording, loss: Loss, data_dir: Path, log: Path
) -> Sequence[str]:
    """Start the program on what is left, hand in what had not been answered; return what fails."""
    server = HuleeduProcess(data_dir, log, environment={"SPELL_CHECKER_SERVICE_PROCESSES": "1"})
    server.start()
    faults = []
    try:
        with closing(httpx.Client(base_url=server.url, timeout=RECOVER_SECONDS)) as client:
            for one in recording.classes:
                answered = {a.what for a in loss.answered if a.batch_id == one.batch_id}
                if "registered" not in answered:
                    continue
                if "cancel" not in answered:
                    upload(client, one.batch_id, one.files)
                status = wait_until_over(server.url, one.batch_id)
                if status not in OVER or (status == "cancelled") != ("cancel" in answered):
                    faults.append(f"batch {one.batch_id}, {sorted(answered)}: {status}")
    finally:
        code = server.stop()
    if code:
        faults.append(f"it ended with {code}")
    return [*faults, *faults_of(loss, data_dir)]
