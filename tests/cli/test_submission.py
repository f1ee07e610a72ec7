"""A class on its way to a server."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.cli.inputs import EssayFile
from huleedu.cli.submission import (
    NAMED_UPLOAD_BYTES_MAX,
    NAMED_UPLOAD_FILES_MAX,
    Assignment,
    new_essay_ids,
    slices,
    submit,
)
from huleedu.core.ids import RandomIds
from tests.cli.answering import REGISTERED, client_of
from tests.support.simulated import simulated_platform


@given(st.lists(st.integers(0, NAMED_UPLOAD_BYTES_MAX + 1), max_size=200))
def test_every_file_is_in_one_request_of_bearable_size(sizes: list[int]) -> None:
    """Requests keep the order, and only a file that is too large by itself breaks the limit."""
    files = [EssayFile(Path(f"{number}.txt"), size) for number, size in enumerate(sizes)]
    parts = list(slices(files, are_named=True))

    assert files == [file for part in parts for file in part]
    for part in parts:
        assert 1 <= len(part) <= NAMED_UPLOAD_FILES_MAX
        assert len(part) == 1 or sum(file.size for file in part) <= NAMED_UPLOAD_BYTES_MAX


def test_files_that_name_no_essay_stay_together() -> None:
    """A class of usual size is matched to its essays as a whole."""
    files = [EssayFile(Path(f"{number}.txt"), 100_000) for number in range(200)]

    assert [files] == list(slices(files, are_named=False))


def test_essay_ids_are_new_and_as_the_contract_has_them() -> None:
    """Ids differ within a batch and between batches, and sort in the order of the files."""
    first, second = new_essay_ids(150, RandomIds()), new_essay_ids(150, RandomIds())

    assert len({*first, *second}) == 300
    assert sorted(first) == list(first)
    assert all(len(one) <= 128 and one.isascii() for one in first)


@pytest.mark.anyio
async def test_each_file_goes_to_an_essay_of_its_own(tmp_path: Path) -> None:
    """One essay a file is registered; what the server says of each file is kept beside it."""
    files = []
    for number in range(60):
        path = tmp_path / f"{number}.txt"
        path.write_text("x")
        files.append(EssayFile(path, 1))
    registrations: list[bytes] = []

    def server(request: httpx.Request) -> httpx.Response:
        body = request.read()
        if request.url.path.endswith("register"):
            registrations.append(body)
            return httpx.Response(202, json=REGISTERED)
        count = body.count(b'name="files"')
        told = [{"name": "f", "error": "No."}, *[{"name": "f", "essay_id": "e"}] * 49]
        return httpx.Response(202, json={"batch_id": "b", "files": told[:count]})

    heard: list[int] = []
    submission = await submit(
        client_of(server),
        simulated_platform(),
        files,
        Assignment("SV1", "9A", "Skriv."),
        heard.append,
    )

    assert heard == [50, 60]
    assert [files[0], files[50]] == [one.file for one in submission.refused]
    assert b'"expected_essay_count":60' in registrations[0]
