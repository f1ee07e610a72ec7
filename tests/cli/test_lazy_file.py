"""Files that are open only while they are read."""

import os
from pathlib import Path

import httpx
import pytest

from huleedu.cli.lazy_file import opened_when_read


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number is all that counts


def test_a_file_is_closed_before_and_after_it_is_read(tmp_path: Path) -> None:
    """Waiting files hold no descriptor, and neither do those that were sent."""
    path = tmp_path / "essay.txt"
    path.write_bytes(b"0123456789" * 10_000)
    before = _open_files()
    files = [opened_when_read(path) for _ in range(50)]
    waiting = _open_files()
    contents = {file.read() for file in files}

    assert (before, before) == (waiting, _open_files())
    assert {path.read_bytes()} == contents
    for file in files:
        file.close()


def test_a_request_knows_its_length_beforehand(tmp_path: Path) -> None:
    """A form of such files is sent with its length, and again as it was the first time."""
    path = tmp_path / "essay.txt"
    path.write_bytes(b"An essay.\r\n" * 10_000)
    with opened_when_read(path) as file:
        request = httpx.Request("POST", "http://test/", files={"files": ("essay.txt", file)})
        first, second = request.read(), b"".join(request.stream)  # type: ignore[arg-type]

    assert int(request.headers["content-length"]) == len(first)
    assert path.read_bytes() in first
    assert first == second


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    """What was there when it was named and is not when it is sent raises an error of the system."""
    path = tmp_path / "essay.txt"
    path.write_bytes(b"x")
    with opened_when_read(path) as file:
        path.unlink()
        with pytest.raises(FileNotFoundError):
            file.read()
