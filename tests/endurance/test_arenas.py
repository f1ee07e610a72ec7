"""A served process does not spread its memory over an arena for each of its threads."""

import platform
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from huleedu.cli.arenas import ARENAS_MAX
from tests.crash.process import HuleeduProcess
from tests.support.classes import registration

HEAP_BYTES = 64 * 2**20  # glibc reserves so much for each arena but the first, at such an address
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) 00000000 00:00 0 *$")


def arenas_of(pid: int) -> int:
    """Return how many arenas the process has, the first with them."""
    found = map(_MAPPING.match, Path(f"/proc/{pid}/maps").read_text().splitlines())
    mappings = [(int(m[1], 16), int(m[2], 16), m[3]) for m in found if m]
    reserved = {end for _, end, rights in mappings if rights == "---p"}
    starts = [start for start, _, rights in mappings if rights == "rw-p"]
    return 1 + sum(start % HEAP_BYTES == 0 and start + HEAP_BYTES in reserved for start in starts)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_program_under_load_has_few_arenas(tmp_path: Path) -> None:
    """Sixteen clients keep its threads busy."""
    server = HuleeduProcess(tmp_path / "data", tmp_path / "log.jsonl")
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:

            def send(_number: int) -> int:
                return client.post("/v1/batches/register", json=registration(1)).status_code

            with ThreadPoolExecutor(16) as pool:
                answers = set(pool.map(send, range(64)))
        arenas = arenas_of(server.pid)
    finally:
        server.kill()

    assert answers == {202}
    assert 1 < arenas <= ARENAS_MAX
