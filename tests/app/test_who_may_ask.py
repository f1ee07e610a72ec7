"""Who may ask: every route of every role refuses what a page of another site can send.

The routes are those that the applications have: a new one is held to this without being named here.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from huleedu.app import running_roles
from huleedu.core.errors import Misconfigured
from huleedu.core.roles import ROLES
from huleedu.core.settings import BosSettings, Settings
from huleedu.web.application import Application
from tests.app.fake_transport import FakeTransport
from tests.support.asgi import ask, routes_of

pytestmark = pytest.mark.anyio

OWN = ("Host", "127.0.0.1:5000")
SAFE = {"GET", "HEAD", "OPTIONS"}
OWN_BODY = {"/v1/files/batch", "/v1/content"}
"""Routes that take something else than JSON, and say so."""


@asynccontextmanager
async def every_role(settings: Settings) -> AsyncIterator[Mapping[str, Application]]:
    """Module → its application, and the one for health and metrics alone."""
    answering = [name for name, role in ROLES.items() if role.answers]
    async with running_roles(settings, answering, connect=FakeTransport().connect) as running:
        yield {**running.applications, "operations": running.operations}


async def statuses(
    directory: Path,
    *headers: tuple[str, str],
    unsafe: bool = False,
    body: bytes = b"",
    local_address: str = "127.0.0.1",
    settings: Settings | None = None,
) -> dict[tuple[str, str, str], int]:
    """Return (application, method, path) → status, asked with these headers.

    ``unsafe``: only methods that may change something.  Unknown paths are asked for too.
    """
    found = {}
    async with every_role(settings or Settings(data_dir=directory)) as applications:
        for name, application in applications.items():
            nowhere = [("GET", "/nowhere"), ("POST", "/nowhere")]
            routes = [*routes_of(application), *nowhere]
            for method, path in routes:
                if unsafe and method in SAFE:
                    continue
                # A stream of events would not end: it answers 404 for a batch that is not there.
                answer = await ask(
                    application, method, path, headers, body, local_address=local_address
                )
                found[name, method, path] = answer.status
                if answer.status in {403, 415, 421}:
                    assert answer.problem["status"] == answer.status
    return found


async def test_there_are_routes_to_ask(tmp_path: Path) -> None:
    """Reading, changing and operating, of every module that answers."""
    found = await statuses(tmp_path, OWN)

    assert {name for name, _, _ in found} == {
        "bos", "els", "content", "files", "results", "operations",
    }  # fmt: skip
    assert ("bos", "POST", "/v1/batches/register") in found
    assert ("results", "GET", "/v1/results/batch_id/events") in found
    assert ("operations", "GET", "/metrics") in found


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "127.0.0.1.evil.example",
        "localhost.evil.example:5000",
        "xn--localhost-k1a",
        "0.0.0.0:5000",
        "192.0.2.7:5000",
        "[2001:db8::1]:5000",
        "content:8000",
    ],
)
async def test_another_host_is_refused_by_every_route(tmp_path: Path, host: str) -> None:
    """What a browser sends after a name was made to point here; nothing is read or changed."""
    found = await statuses(tmp_path, ("Host", host))

    assert set(found.values()) == {421}, found


async def test_the_refusal_names_the_setting(tmp_path: Path) -> None:
    """An operator who meant this name reads what to set."""
    async with every_role(Settings(data_dir=tmp_path)) as applications:
        answer = await ask(applications["bos"], "GET", "/v1/batches", [("Host", "school.lan:5000")])

    assert answer.status == 421
    assert "'school.lan:5000'" in answer.problem["detail"]
    assert "allowed_hosts" in answer.problem["detail"]
    assert "HULEEDU_ALLOWED_HOSTS" in answer.problem["detail"]


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["127.0.0.1:5000", "127.0.0.1:5000"],
        ["127.0.0.1:5000", "evil.example"],
        [""],
        ["evil@127.0.0.1"],
        ["127.0.0.1:port"],
        ["127.0.0.1/evil.example"],
        ["127.0.0.1, evil.example"],
        ["[::1"],
        ["[::zz]:5000"],
    ],
    ids=str,
)
async def test_no_host_two_hosts_or_none_that_can_be_read_are_refused(
    tmp_path: Path, hosts: list[str]
) -> None:
    found = await statuses(tmp_path, *(("Host", host) for host in hosts))

    assert set(found.values()) == {400}, found


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:5000", "localhost", "LocalHost:8080", "[::1]", "[::1]:5000",
     "[0:0::1]:5000"],
)  # fmt: skip
async def test_this_machine_may_ask_by_each_of_its_loopback_names(
    tmp_path: Path, host: str
) -> None:
    """At any port: a tunnel or a container may have another one than the server."""
    found = await statuses(tmp_path, ("Host", host))

    assert 421 not in found.values()
    assert found["bos", "GET", "/v1/batches"] == 200
    assert found["operations", "GET", "/readyz"] == 200


CONFIGURED: Sequence[tuple[dict[str, Any], str, int]] = [
    ({"allowed_hosts": "huleedu.school.example"}, "huleedu.school.example", 200),
    ({"allowed_hosts": "a, HulEedu.School.Example"}, "huleedu.school.example:443", 200),
    ({"allowed_hosts": "school.lan:5000"}, "school.lan:5000", 200),
    ({"allowed_hosts": "school.lan:5000"}, "school.lan:5001", 421),
    ({"allowed_hosts": "school.lan"}, "www.school.lan", 421),
    ({"allowed_hosts": "[2001:db8::1]"}, "[2001:DB8:0::1]:80", 200),
    ({"host": "192.0.2.7"}, "192.0.2.7:5000", 200),
    ({"host": "school.lan"}, "school.lan:5000", 200),
    ({"host": "FD00:0::5"}, "[fd00::5]:5000", 200),
    ({"content_service_url": "http://[FD00:0::5]:8000"}, "[fd00::5]:8000", 200),
    ({"content_service_url": "http://[nonsense"}, "nonsense", 421),
    ({"bos": BosSettings(http_host="192.0.2.7")}, "192.0.2.7:5000", 200),
    ({"content_service_url": "http://content:8000"}, "content:8000", 200),
    ({"essay_lifecycle_service_url": "http://els-api:6000"}, "els-api:6000", 200),
    ({"host": "0.0.0.0"}, "0.0.0.0:5000", 421),
    ({"host": "::"}, "school.lan:5000", 421),
]


@pytest.mark.parametrize(("configured", "host", "status"), CONFIGURED, ids=str)
async def test_what_is_configured_may_be_asked_for(
    tmp_path: Path, configured: dict[str, Any], host: str, status: int
) -> None:
    """Names that are set, the address to listen on, and where roles find one another."""
    settings = Settings(data_dir=tmp_path, role_secret="of these roles", **configured)
    found = await statuses(tmp_path, ("Host", host), settings=settings)

    assert found["bos", "GET", "/v1/batches"] == status
    assert found["operations", "GET", "/readyz"] == status


async def test_a_host_that_cannot_be_read_stops_the_program(tmp_path: Path) -> None:
    """A URL, say: the operator reads what was expected."""
    settings = Settings(data_dir=tmp_path, allowed_hosts="school.lan,http://content:8000")
    with pytest.raises(Misconfigured, match=r"'http://content:8000'; expected host"):
        async with every_role(settings):
            pass


@pytest.mark.parametrize(
    ("address", "host"), [("10.1.2.3", "10.1.2.3:5000"), ("fd00::5", "[fd00::5]:5000")]
)
async def test_the_address_that_a_connection_came_to_may_be_asked_for(
    tmp_path: Path, address: str, host: str
) -> None:
    """A probe that finds a pod by its address; no name can be made to look like one."""
    found = await statuses(tmp_path, ("Host", host), local_address=address)

    assert found["operations", "GET", "/readyz"] == 200
    assert found["bos", "GET", "/v1/batches"] == 200


FOREIGN = [
    [("Origin", "http://evil.example")],
    [("Origin", "http://evil.example:5000")],
    [("Origin", "null")],
    [("Origin", "")],
    [("Origin", "http://127.0.0.1:5001")],
    [("Origin", "http://localhost:5000")],
    [("Origin", "http://127.0.0.1:5000.evil.example")],
    [("Origin", "http://127.0.0.1:5000@evil.example")],
    [("Origin", "chrome-extension://abcdef")],
    [("Origin", "file://")],
    [("Origin", "http://127.0.0.1:5000"), ("Origin", "http://evil.example")],
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")],
    [("Sec-Fetch-Site", "something-new")],
    [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    [("Origin", "http://127.0.0.1:5000"), ("Sec-Fetch-Site", "cross-site")],
    [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")],
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
async def test_another_page_changes_nothing(tmp_path: Path, foreign: list[tuple[str, str]]) -> None:
    """By no method that may change something, on no route, with or without a body."""
    found = await statuses(tmp_path, OWN, *foreign, unsafe=True)
    found |= await statuses(tmp_path, OWN, *foreign, ("Content-Length", "2"), unsafe=True)

    assert set(found.values()) == {403}, found


@pytest.mark.parametrize(
    "own",
    [
        [],
        [("Origin", "http://127.0.0.1:5000")],
        [("Origin", "http://127.0.0.1:5000"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "none")],
    ],
    ids=str,
)
async def test_programs_and_our_own_pages_may_change_something(
    tmp_path: Path, own: list[tuple[str, str]]
) -> None:
    """A program sends neither header, a page of this server its own origin."""
    found = await statuses(tmp_path, OWN, *own, unsafe=True)

    assert 403 not in found.values()
    assert found["bos", "POST", "/v1/batches/trigger-spellcheck-test"] == 202
    assert found["bos", "POST", "/v1/batches/batch_id/cancel"] == 404


async def test_an_own_page_behind_tls_keeps_its_origin(tmp_path: Path) -> None:
    """A proxy takes TLS off and passes Host on: the scheme of the origin is the proxy's."""
    settings = Settings(data_dir=tmp_path, allowed_hosts="school.example")
    for origin in ("https://school.example", "https://school.example:443"):
        found = await statuses(
            tmp_path, ("Host", "school.example"), ("Origin", origin), settings=settings
        )

        assert 403 not in found.values()


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonp",
        "text/plain, application/json",
        "",
        None,
    ],
)
@pytest.mark.parametrize("framing", [("Content-Length", "2"), ("Transfer-Encoding", "chunked")])
async def test_json_that_is_not_sent_as_json_is_refused(
    tmp_path: Path, media_type: str | None, framing: tuple[str, str]
) -> None:
    """Also where the route could do without a body: a form of a page can send these types."""
    said = [] if media_type is None else [("Content-Type", media_type)]
    found = await statuses(tmp_path, OWN, framing, *said, unsafe=True, body=b"{}")

    of_json = {
        key: status for key, status in found.items() if key[2] not in {*OWN_BODY, "/nowhere"}
    }
    assert len(of_json) >= 6
    assert set(of_json.values()) == {415}, found


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'],
)
async def test_json_that_is_sent_as_json_is_read(tmp_path: Path, media_type: str) -> None:
    found = await statuses(
        tmp_path,
        OWN,
        ("Content-Length", "2"),
        ("Content-Type", media_type),
        unsafe=True,
        body=b"{}",
    )

    assert 415 not in found.values()
