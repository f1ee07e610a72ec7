"""Nobody else on this machine reads the essays, from their upload to their download."""

import os
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.crash.process import HuleeduProcess
from tests.support.classes import register_and_upload, wait_until_over

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class OpenFiles:
    """Looks, again and again, at the regular files that a process has open."""

    def __init__(self, pid: int, *folders: Path) -> None:
        self._descriptors = Path(f"/proc/{pid}/fd")
        self._folders = tuple(str(folder) for folder in folders)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.modes: dict[str, set[str]] = {}
        """Folder → the modes of the files in it, those without a name among them."""

    def __enter__(self) -> "OpenFiles":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.002):
            for descriptor in self._descriptors.iterdir():
                with suppress(OSError):  # closed meanwhile
                    target, found = str(descriptor.readlink()), descriptor.stat()
                    if stat.S_ISREG(found.st_mode) and target.startswith(self._folders):
                        folder = str(Path(target).parent)
                        self.modes.setdefault(folder, set()).add(mode_of(found))


def mode_of(found: os.stat_result) -> str:
    return oct(stat.S_IMODE(found.st_mode))


def test_every_file_of_a_whole_flow_is_its_owners_alone(tmp_path: Path) -> None:
    """In a data folder that was open to all, under a umask that forbids nothing."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    process = HuleeduProcess(data, tmp_path / "log.jsonl")
    before = os.umask(0)
    try:
        process.start()
    finally:
        os.umask(before)
    temporary = Path(tempfile.gettempdir())
    with OpenFiles(process.pid, data, temporary) as opened:
        batch_id = register_and_upload(process.url)
        large = [("files", ("large.txt", b"There was a hous once. " * 200_000))]
        with httpx.Client(base_url=process.url, timeout=60) as client:
            client.post("/v1/files/batch", data={"batch_id": batch_id}, files=large)
            wait_until_over(process.url, batch_id)
            assert client.get(f"/v1/results/{batch_id}?format=zip").status_code == 200
        running = {path.name: mode_of(path.stat()) for path in data.iterdir()}
    assert process.stop() == 0
    kept = {path.name: mode_of(path.stat()) for path in data.iterdir()}

    assert set(running.values()) == {"0o600"}, running
    assert set(kept.values()) == {"0o600"}, kept
    assert mode_of(data.stat()) == "0o700"
    assert len([name for name in running if name.endswith("-wal")]) == 6
    assert opened.modes == {str(data): {"0o600"}, str(temporary): {"0o600"}}
