"""The form of an upload: what it must be, and where it is cut off."""

from collections.abc import AsyncIterator

import httpx
import pytest

from huleedu.core.settings import Limits
from tests.files.school import School, essays_in, school

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here() -> AsyncIterator[School]:
    async with school() as opened:
        await opened.registers("b", ["e1", "e2", "e3"])
        yield opened


FORM = {"Content-Type": "multipart/form-data; boundary=x"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
BATCH = HEAD % (b"batch_id", b"", b"b")
FILE = HEAD % (b"files", b'; filename="a.txt"', b"A")
END = b"--x--\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "detail"),
    [
        ({"Content-Type": "application/json"}, b"{}", "must be a form"),
        ({"Content-Type": "multipart/form-data"}, BATCH + FILE + END, "must be a form"),
        ({"Content-Type": "multipart/form-data; boundary="}, b"", "must be a form"),
        (FORM, b"", "broken or incomplete"),
        (FORM, END, "no batch_id"),
        (FORM, FILE + END, "no batch_id"),
        (FORM, HEAD % (b"batch_id", b"", b" ") + FILE + END, "no batch_id"),
        (FORM, BATCH + BATCH + FILE + END, "more than one batch_id"),
        (FORM, BATCH + END, "no files"),
        (FORM, BATCH + HEAD % (b"files", b'; filename=""', b"") + END, "no files"),
        (FORM, BATCH + HEAD % (b"files", b"", b"A") + END, "no file name"),
        (FORM, BATCH + FILE, "broken or incomplete"),
        (FORM, BATCH + FILE[:-9], "broken or incomplete"),
        (FORM, HEAD % (b"batch_id", b"", b"\xff") + FILE + END, "not UTF-8"),
        (FORM, HEAD % (b"essay_id", b"", b"e" * 1001) + BATCH + FILE + END, "over 1000 bytes"),
        (FORM, b"--x\r\nnonsense\r\n\r\n\r\n" + END, "broken or incomplete"),
    ],
)
async def test_a_form_that_is_none_is_explained(
    here: School, headers: dict[str, str], body: bytes, detail: str
) -> None:
    """400 with what is wrong, as a problem; nothing is kept."""
    answer = await here.client.post("/v1/files/batch", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]
    assert await here.said() == []


async def test_fields_of_others_are_ignored(here: School) -> None:
    """An unknown part changes nothing, however long, nor does what follows the last part."""
    stray = HEAD % (b"csrf", b"", b"t" * 5_000)
    strange = HEAD % (b"essay_id", b"; filename*=nonsense", b"e3")
    body = stray + FILE + stray + strange + BATCH + END

    async def with_an_epilogue() -> AsyncIterator[bytes]:
        for piece in (body, b"an epilogue", END, FILE):
            yield piece

    answer = await here.client.post("/v1/files/batch", content=with_an_epilogue(), headers=FORM)

    assert essays_in(answer) == ["e3"]


async def test_an_endless_number_of_parts_is_cut_off() -> None:
    """Ids without files do not pile up."""
    async with school(limits=Limits(upload_files=2)) as here:
        body = BATCH + HEAD % (b"essay_id", b"", b"e") * 200 + FILE + END

        answer = await here.client.post("/v1/files/batch", content=body, headers=FORM)

    assert answer.status_code == 413


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_over_the_limit_is_cut_off(announced: bool) -> None:
    """413 at once when its length is announced, else as soon as it has passed the limit."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield BATCH + FILE
        while True:
            sent += 1_000
            yield b"a" * 1_000

    async with school(limits=Limits(upload_bytes=10_000)) as here:
        headers = FORM | ({"Content-Length": "10001"} if announced else {})
        answer = await here.client.post("/v1/files/batch", content=endless(), headers=headers)

    assert answer.status_code == 413
    assert "over 10,000 bytes; send its files in several requests" in answer.json()["detail"]
    assert sent <= (0 if announced else 12_000)


async def test_a_caller_that_hangs_up_leaves_nothing(here: School) -> None:
    """A form that ends with its connection is no upload."""
    events: list[dict[str, object]] = [
        {"type": "http.request", "body": BATCH + FILE, "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/files/batch",
        "raw_path": b"/v1/files/batch",
        "query_string": b"",
        "headers": [(b"content-type", FORM["Content-Type"].encode())],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, object]:
        return events.pop(0)

    async def send(message: object) -> None:
        pass

    transport = here.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)

    assert await here.said() == []
    assert not here.content.texts


AWKWARD_NAMES = {
    "Latin-1": (b"\xc5sa.txt", "name_not_utf8"),
    "a letter cut in two": (b"Bj\xc3.txt", "name_not_utf8"),
    "no letter at all": (b"\xff\xfe\x80", "name_not_utf8"),
    "a surrogate": (b"\xed\xa0\x80.txt", "name_not_utf8"),
    "5,000 letters": (b"a" * 5_000 + b".txt", "name_too_long"),
    "5,000 wide letters": ("å".encode() * 5_000 + b".txt", "name_too_long"),
    "60,000 letters": (b"a" * 60_000, "name_too_long"),
}


@pytest.mark.parametrize("kind", AWKWARD_NAMES)
@pytest.mark.parametrize("ids", [False, True])
async def test_a_name_that_cannot_be_used_is_its_own_files_fault(
    here: School, kind: str, ids: bool
) -> None:
    """The others are taken, each file has a receipt at its place, and nothing of ours shows."""
    name, reason = AWKWARD_NAMES[kind]
    named = [b"a.txt", name, "Åsa.txt".encode()]
    body = BATCH
    for number, each in enumerate(named, 1):
        if ids:
            body += HEAD % (b"essay_id", b"", b"e%d" % number)
        body += HEAD % (b"files", b'; filename="%s"' % each, b"Text %d." % number)
    answer = await here.client.post("/v1/files/batch", content=body + END, headers=FORM)

    assert answer.status_code == 202, answer.text
    first, wrong, last = answer.json()["files"]
    assert (first["name"], last["name"]) == ("a.txt", "Åsa.txt")
    assert [one.get("essay_id") for one in (first, last)] == (["e1", "e3"] if ids else ["e1", "e2"])
    assert wrong["reason"] == reason
    assert "essay_id" not in wrong
    assert wrong["name"]
    assert len(wrong["name"].encode()) <= 255
    assert wrong["name"] in wrong["error"]
    assert answer.json()["message"] == "2 of 3 files taken."


@pytest.mark.parametrize(
    "part",
    [
        b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n',
        b"--x\r\nContent-Disposition: form-data; name=files\xff\r\n\r\nA\r\n",
        b"--x\r\nX-\xff: y\r\nContent-Disposition: form-data; name=files\r\n\r\nA\r\n",
        HEAD % (b"files", b'; filename="%s"' % (b"a" * 100_000), b"A"),
        b"--x\r\nContent-Disposition: attachment\r\n\r\nA\r\n",
    ],
    ids=lambda part: str(part[:60]),
)
async def test_whatever_is_wrong_with_a_part_is_told_in_words(here: School, part: bytes) -> None:
    """No exception of Python's is in an answer, nor where it was raised."""
    answer = await here.client.post(
        "/v1/files/batch", content=BATCH + part + FILE + END, headers=FORM
    )

    assert answer.status_code in {202, 400, 413}
    for word in ("Error(", "codec", "Traceback", "0x", "byte"):
        assert word not in answer.text.replace("bytes", "")
