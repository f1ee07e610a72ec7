"""What the client makes of answers, and how long it keeps trying."""

from pathlib import Path

import httpx
import pytest

from huleedu.cli.client import Registration, connected
from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import EssayFile
from huleedu.core.errors import Conflict, NotFound, PeerUnavailable, Rejected, TooLarge
from tests.cli.answering import REGISTERED, Script, client_of, results_of
from tests.support.simulated import simulated_platform

pytestmark = pytest.mark.anyio

CLASS = Registration(["e1", "e2"], "ENG5", "9A", "Write.")


def _away() -> httpx.ConnectError:
    return httpx.ConnectError("connection refused")


async def test_a_registration_says_what_the_contract_asks_for() -> None:
    """The count is that of the ids, and a deadline that nobody wished for is left out."""
    script = Script([httpx.Response(202, json=REGISTERED)])
    registered = await client_of(script).register(CLASS, "key")
    (request,) = script.asked

    assert registered.batch_id == "b"
    assert httpx.Response(200, content=request.content).json() == {
        "expected_essay_count": 2,
        "essay_ids": ["e1", "e2"],
        "course_code": "ENG5",
        "class_designation": "9A",
        "essay_instructions": "Write.",
    }


async def test_a_cut_connection_registers_once() -> None:
    """The retry of a registration is the same request under the same Idempotency-Key."""
    cut = httpx.RemoteProtocolError("server disconnected")
    script = Script([cut, _away(), httpx.Response(202, json=REGISTERED)])
    await client_of(script).register(CLASS, "key")

    assert [request.headers["idempotency-key"] for request in script.asked] == ["key"] * 3
    assert len({request.content for request in script.asked}) == 1


@pytest.mark.parametrize("status", [503, 429, 404, 409])
async def test_a_server_that_asks_for_time_gets_it(status: int) -> None:
    """An answer with Retry-After is followed by the same request again."""
    later = httpx.Response(status, headers={"Retry-After": "2"}, json={"detail": "not yet"})
    script = Script([later, httpx.Response(200, json=results_of(is_finished=True, succeeded=2))])
    _, results = await client_of(script).results("b", is_new=True)

    assert results.is_success
    assert len(script.asked) == 2


async def test_patience_ends() -> None:
    """Who gets no answer is told so, with what to do, and the same may be tried again later."""
    with pytest.raises(PeerUnavailable, match=r"no answer .*http://test.*huleedu serve"):
        await client_of(Script([_away()]), patience_seconds=20).batch("b")


async def test_an_unknown_batch_is_not_waited_for_long() -> None:
    """A batch that this command did not register is given a moment to show up, no more."""
    unknown = httpx.Response(404, headers={"Retry-After": "1"}, json={"detail": "no batch 'x'"})
    script = Script([unknown])
    with pytest.raises(NotFound, match="no batch 'x'"):
        await client_of(script, patience_seconds=1_000).results("x")

    assert len(script.asked) <= 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Rejected), (404, NotFound), (409, Conflict), (413, TooLarge), (500, PeerUnavailable)],
)
async def test_a_refusal_is_told_at_once(status: int, kind: type[Exception]) -> None:
    """A refusal that no time heals is raised after one request, in the server's words."""
    script = Script([httpx.Response(status, json={"title": "T", "detail": "It is so."})])
    with pytest.raises(kind, match=r"It is so\."):
        await client_of(script).batch("b")

    assert len(script.asked) == 1


async def test_every_fault_of_a_registration_is_told() -> None:
    """Faults are listed with the place of each."""
    details = [
        {"loc": ["essay_ids", 3], "msg": "it is blank", "type": "string_blank"},
        {"loc": ["course_code"], "msg": "unknown course 'X'", "type": "value_error"},
        {"loc": [], "msg": "and 3 more faults", "type": "too_many_faults"},
    ]
    body = {"error": "Validation Error", "details": details}
    with pytest.raises(Rejected) as raised:
        await client_of(Script([httpx.Response(400, json=body)])).register(CLASS, "key")

    assert str(raised.value).splitlines() == [
        "Validation Error",
        "  - essay_ids[3]: it is blank",
        "  - course_code: unknown course 'X'",
        "  - and 3 more faults",
    ]


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"batch_id": 1}', b"\xff"])
async def test_another_server_on_the_port_is_recognised(body: bytes) -> None:
    """What answers 200 with something else is not taken for a server of ours."""
    with pytest.raises(WrongUse, match="not a huleedu server"):
        await client_of(Script([httpx.Response(200, content=body)])).batch("b")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]"])
async def test_a_refusal_in_another_shape_still_says_its_status(body: bytes) -> None:
    """A proxy's own answer is told by its status."""
    with pytest.raises(Rejected, match="Forbidden"):
        await client_of(Script([httpx.Response(403, content=body)])).batch("b")


async def test_a_batch_id_stays_one_part_of_the_path() -> None:
    """An id with slashes asks for no other resource."""
    script = Script([httpx.Response(404, json={"detail": "no"})])
    with pytest.raises(NotFound):
        await client_of(script).batch("../v1/x?y")

    assert script.asked[0].url.raw_path == b"/v1/batches/..%2Fv1%2Fx%3Fy"


async def test_files_are_sent_in_order_with_their_essays(tmp_path: Path) -> None:
    """The nth essay id and the nth file stand in the form in the same order, at every try."""
    files = []
    for name in ("å.txt", "b.docx"):
        (tmp_path / name).write_bytes(f"text of {name}".encode())
        files.append(EssayFile(tmp_path / name, 20))
    told = [{"name": "å.txt", "essay_id": "e1"}, {"name": "b.docx", "error": "No."}]
    taken = httpx.Response(202, json={"batch_id": "b", "files": told})
    script = Script([_away(), taken])
    uploaded = await client_of(script).upload("b", files, ["first-essay", "second-essay"])
    body = script.asked[1].content

    assert [(one.essay_id, one.error) for one in uploaded.files] == [("e1", None), (None, "No.")]
    assert body.index(b"first-essay") < body.index(b"second-essay")
    assert body.index("å.txt".encode()) < body.index(b"text of b.docx")


async def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    """A file that is gone when it is to be sent ends the command with its name."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    file = EssayFile(path, 1)
    path.unlink()
    with pytest.raises(Rejected, match=r"a\.txt"):
        await client_of(Script([httpx.Response(500)])).upload("b", [file], ["e1"])


@pytest.mark.parametrize("server", ["localhost:5000", "ftp://x", "", "http://", "http://a:b"])
async def test_a_server_that_is_no_url_is_wrong_use(server: str) -> None:
    """A server must be an http or https URL."""
    with pytest.raises(WrongUse, match="no URL"):
        async with connected(server, simulated_platform()):
            pass
