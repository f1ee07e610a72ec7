"""Roles in processes of their own: what each opens, hears and answers; no broker is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from huleedu.app import RunningRoles, running_roles, serve_roles
from huleedu.core.errors import Misconfigured
from huleedu.core.roles import ROLES, modules_of
from huleedu.core.settings import BosSettings, ContentSettings, ElsSettings, Settings
from huleedu.store.directory import locked
from huleedu.web.application import Application
from tests.app.fake_transport import FakeTransport
from tests.support.eventually import eventually
from tests.support.stores import cache_kibibytes

pytestmark = pytest.mark.anyio
BOS = "batch-orchestrator-service-group-v1.0"
ELS = "essay-lifecycle-service-group-v1.0"
FILES = "file-service-group-v1.0"
RESULTS = "results-service-group-v1.0"
SPELLCHECK = "spellchecker-service-group-v1.1"


@dataclass(frozen=True)
class Part:
    """What a role is to be."""

    role: str
    stores: Sequence[str] = ()
    hears_as: Sequence[str] = ()
    relays: Sequence[str] = ()
    answers: Sequence[str] = ()


PARTS = (
    Part("bos", ["bos.db"], relays=["bos.db"], answers=["/v1/batches/register"]),
    Part("bos-worker", ["bos.db"], [BOS], ["bos.db"]),
    Part("els-api", ["els.db"], answers=["/v1/essays/{essay_id}/status"]),
    Part("els-worker", ["els.db"], [ELS], ["els.db"]),
    Part("files", ["files.db"], [FILES], ["files.db"], ["/v1/files/batch"]),
    Part("content", ["content.db"], answers=["/v1/content"]),
    Part("spellcheck-worker", hears_as=[SPELLCHECK]),
    Part("results", ["results.db"], [RESULTS], ["results.db"], ["/v1/results/{batch_id}"]),
)


def stores_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.db"))


async def answer(application: Application, path: str) -> httpx.Response:
    app: Any = application
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def paths(running: RunningRoles) -> set[str]:
    """Return every route of every application."""
    found: set[str] = set()
    for application in running.applications.values():
        found |= set((await answer(application, "/openapi.json")).json()["paths"])
    return found


def test_every_role_is_described_here() -> None:
    assert [part.role for part in PARTS] + ["topics"] == list(ROLES)
    assert modules_of(["bos", "bos-worker", "topics"]) == {"bos"}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.role)
async def test_a_role_opens_hears_and_answers_its_own_part(part: Part, tmp_path: Path) -> None:
    """And nothing of the others'; a role that neither speaks nor listens needs no broker."""
    transport = FakeTransport()
    settings = Settings(data_dir=tmp_path)
    with capture_logs() as logs:
        async with running_roles(settings, [part.role], connect=transport.connect) as running:
            routes = await paths(running)
            ready = await answer(running.operations, "/readyz")
            await anyio.wait_all_tasks_blocked()
            used = transport.is_running

    assert stores_in(tmp_path) == list(part.stores)
    assert [one.group for one in transport.subscriptions] == list(part.hears_as)
    assert transport.relayed == list(part.relays)
    assert set(part.answers) <= routes
    assert bool(routes) == bool(part.answers)
    assert ready.status_code == 200
    assert used == bool(part.hears_as or part.relays)
    (started,) = [one for one in logs if one["event"] == "role_started"]
    assert started["roles"] == [part.role]


async def test_a_consumer_keeps_its_place_in_the_store_of_its_module(tmp_path: Path) -> None:
    """Only the spell-checker has none: it stands where the broker says."""
    transport = FakeTransport()
    every = [name for name in ROLES if name != "topics"]
    async with running_roles(
        Settings(data_dir=tmp_path), every, connect=transport.connect
    ) as running:
        kept = {one.group: one.store for one in transport.subscriptions}

        assert kept == {
            BOS: running.stores["bos"],
            ELS: running.stores["els"],
            FILES: running.stores["files"],
            RESULTS: running.stores["results"],
            SPELLCHECK: None,
        }
        assert sorted(transport.relayed) == ["bos.db", "els.db", "files.db", "results.db"]
        assert set(running.applications) == {"bos", "els", "files", "content", "results"}


async def test_several_processes_of_one_module_share_its_store(tmp_path: Path) -> None:
    """The API and two workers; a store elsewhere is found by its setting."""
    settings = Settings(data_dir=tmp_path, els=ElsSettings(database_path=tmp_path / "kept" / "e"))
    one, two, api = FakeTransport(), FakeTransport(), FakeTransport()
    async with (
        running_roles(settings, ["els-worker"], connect=one.connect),
        running_roles(settings, ["els-worker"], connect=two.connect),
        running_roles(settings, ["els-api"], connect=api.connect) as asked,
    ):
        assert (await answer(asked.operations, "/readyz")).status_code == 200
        assert asked.stores["els"].path == tmp_path / "kept" / "e"
        assert not (tmp_path / "els.db").exists()


async def test_every_store_keeps_as_much_in_memory_as_its_setting_says(tmp_path: Path) -> None:
    """What a store may cache is one setting for all of them."""
    settings = Settings(data_dir=tmp_path, store_cache_mebibytes=3)
    parts = ["bos", "els-worker", "files", "content", "results"]
    async with running_roles(settings, parts, connect=FakeTransport().connect) as running:
        kept = {name: await store.write(cache_kibibytes) for name, store in running.stores.items()}

    assert kept == dict.fromkeys(("bos", "els", "files", "content", "results"), 3 * 1_024)


async def test_a_whole_program_and_roles_keep_apart(tmp_path: Path) -> None:
    """What all-in-one holds, no role opens."""
    with locked(tmp_path), pytest.raises(Misconfigured, match="in use by another huleedu"):
        async with running_roles(
            Settings(data_dir=tmp_path), ["bos"], connect=FakeTransport().connect
        ):
            pass


async def test_readiness_tells_of_the_broker(tmp_path: Path) -> None:
    """A process that cannot be told or tell anything says so, on every port it has."""
    transport = FakeTransport()
    async with running_roles(
        Settings(data_dir=tmp_path), ["bos"], connect=transport.connect
    ) as running:
        transport.trouble = ["the broker does not answer"]
        for application in (running.operations, running.applications["bos"]):
            told = await answer(application, "/readyz")

            assert told.status_code == 503
            assert told.json()["reasons"] == ["the broker does not answer"]


async def test_a_content_store_elsewhere_needs_a_secret(tmp_path: Path) -> None:
    """One made here would not be its; what stands in the data directory is taken."""
    settings = Settings(data_dir=tmp_path, content_service_url="http://content.example:8000")
    for role in ("bos", "files", "results"):
        with pytest.raises(Misconfigured, match="HULEEDU_ROLE_SECRET"):
            async with running_roles(settings, [role], connect=FakeTransport().connect):
                pass
    (tmp_path / "role.secret").write_text("of this deployment")
    given = msgspec.structs.replace(settings, data_dir=tmp_path / "new", role_secret="given")
    for enough in (settings, given):
        async with running_roles(enough, ["bos"], connect=FakeTransport().connect):
            pass


async def test_each_module_answers_on_its_own_port(tmp_path: Path) -> None:
    """The API of each, and health and metrics on PROMETHEUS_PORT; all end when told to."""
    settings = Settings(
        data_dir=tmp_path,
        prometheus_port=0,
        bos=BosSettings(http_port=0),
        content=ContentSettings(http_port=0),
    )
    stop = anyio.Event()
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                await serve_roles(
                    settings, ["bos", "content"], stop, connect=FakeTransport().connect
                )

            tasks.start_soon(serve)
            urls = await eventually(lambda: listening(logs), lambda urls: len(urls) == 3)
            async with httpx.AsyncClient() as client:
                batches = await client.get(f"{urls['bos']}/v1/batches")
                texts = await client.get(f"{urls['content']}/v1/content/{'0' * 32}")
                metrics = await client.get(urls["metrics"])
                ready = await client.get(urls["metrics"].replace("/metrics", "/readyz"))
            stop.set()

    assert (batches.status_code, texts.status_code) == (200, 401)
    assert "batch_operations_total" in metrics.text
    assert ready.json() == {"status": "ready"}
    assert [one["event"] for one in logs][-1] == "stopped"


async def listening(logs: Sequence[Any]) -> dict[str, str]:
    """Return module → URL, of what has said that it listens; the metrics by their name."""
    return {
        one.get("module", "metrics"): one["url"]
        for one in logs
        if one["event"] in ("listening", "metrics_listening")
    }


async def test_a_port_that_is_taken_stops_the_program(tmp_path: Path) -> None:
    """It names the port, and nothing of the process stays behind."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as taken:
        port = taken.extra(anyio.abc.SocketAttribute.local_port)
        settings = Settings(
            data_dir=tmp_path, bos=BosSettings(http_port=port), els=ElsSettings(http_port=0)
        )
        with pytest.raises(Misconfigured, match=f"port {port}"):
            await serve_roles(
                settings, ["bos", "els-api"], anyio.Event(), connect=FakeTransport().connect
            )
    with locked(tmp_path):
        pass
