"""What a page of another site can have a real browser do to a server on its machine: nothing."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.process import HuleeduProcess
from tests.support.browser import Browser, BrowserMissing, Page, running_browser
from tests.support.classes import registration
from tests.support.kafka_jars import must_be_complete

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

SMUGGLED = (
    '{"expected_essay_count": 1, "essay_ids": ["a"], "course_code": "ENG5", '
    '"class_designation": "9A", "essay_instructions": "'
)
FORM = """<form method=POST enctype="{enctype}" action="{action}"></form><script>
  const field = document.createElement("input");
  [field.name, field.value] = [{name}, '"}}'];
  document.forms[0].append(field);
  document.forms[0].submit();
</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser to which the names of another site are this machine."""
    missing = None
    try:
        with running_browser(tmp_path_factory.mktemp("browser") / "profile", "*.example") as one:
            yield one
    except BrowserMissing as error:
        missing = str(error)
    if missing is not None:
        if must_be_complete():
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.new_page()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HuleeduProcess]:
    """A program with one class."""
    directory = tmp_path_factory.mktemp("server")
    process = HuleeduProcess(directory / "data", directory / "log.jsonl")
    process.start()
    yield process
    process.kill()


class OtherSite(http.server.ThreadingHTTPServer):
    """A server that is gone when it is closed: a browser keeps spare connections, not used yet."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def other_site(html: str, port: int = 0) -> Iterator[str]:
    """Serve this page as another site while the block lasts; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with OtherSite(("127.0.0.1", port), Handler) as site:
        answering = threading.Thread(target=site.serve_forever)
        answering.start()
        try:
            yield f"http://evil.example:{site.server_port}/"
        finally:
            site.shutdown()
            answering.join()


def batches(url: str) -> dict[str, str]:
    """Return batch id → status."""
    listed = httpx.get(f"{url}/v1/batches").json()["batches"]
    return {one["batch_id"]: one["status"] for one in listed}


def registered(url: str) -> str:
    answer = httpx.post(f"{url}/v1/batches/register", json=registration(1))
    assert answer.status_code == 202
    batch_id: str = answer.json()["batch_id"]
    return batch_id


@pytest.mark.parametrize(
    "enctype", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_form_of_another_site_registers_no_class(
    page: Page, server: HuleeduProcess, enctype: str
) -> None:
    """One that sends itself as soon as its page is seen, with JSON as the name of its field."""
    before = batches(server.url)
    action = f"{server.url}/v1/batches/register"
    html = FORM.format(enctype=enctype, action=action, name=repr(SMUGGLED))
    with other_site(html) as url:
        page.go(url)
        page.until(f"location.href === '{action}' && document.readyState === 'complete'")
        said = page.run("document.body.innerText")

    assert '"status":403' in said
    assert batches(server.url) == before


def test_a_script_of_another_site_changes_nothing(page: Page, server: HuleeduProcess) -> None:
    """By requests that a browser sends without asking the server first."""
    batch_id = registered(server.url)
    before = batches(server.url)
    paths = ["trigger-spellcheck-test", *(f"{batch_id}/{one}" for one in ("cancel", "proceed"))]
    with other_site("<p>hello</p>") as url:
        page.go(url)
        for path in paths:
            page.run(
                f"fetch('{server.url}/v1/batches/{path}', {{method: 'POST', mode: 'no-cors'}})"
                ".then(answer => answer.type)"
            )
        page.run(
            "(() => { const form = new FormData();"
            f" form.append('batch_id', '{batch_id}');"
            " form.append('files', new File(['A text.'], 'essay-01.txt'));"
            f" return fetch('{server.url}/v1/files/batch',"
            " {method: 'POST', mode: 'no-cors', body: form}).then(answer => answer.type) })()"
        )

    assert batches(server.url) == before
    essays = httpx.get(f"{server.url}/v1/batches/{batch_id}/essays").json()["essays"]
    assert essays == []


def test_a_name_that_is_made_to_point_here_reads_nothing(page: Page, tmp_path: Path) -> None:
    """The page's own address, by which the browser asks, is by now that of the program."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with other_site("<p>hello</p>", port) as url:
        page.go(url)
    process = HuleeduProcess(tmp_path / "data", tmp_path / "log.jsonl", "--port", str(port))
    process.start()
    try:
        batch_id = registered(process.url)
        ask = "fetch('{0}').then(answer => answer.text().then(text => [answer.status, text]))"
        read = [page.run(ask.format(path)) for path in ("/v1/batches", f"/v1/results/{batch_id}")]
        wrote = page.run(
            "fetch('/v1/batches/trigger-spellcheck-test', {method: 'POST'})"
            ".then(answer => answer.status)"
        )

        assert page.run("location.hostname") == "evil.example"
        assert [status for status, _ in read] == [421, 421]
        assert batch_id not in str(read)
        assert wrote == 421
        assert list(batches(process.url)) == [batch_id]
    finally:
        process.kill()


def test_a_page_of_the_server_itself_may_do_everything(page: Page, server: HuleeduProcess) -> None:
    """What a browser says of its own page's requests is what is asked for."""
    page.heed_no_policy()
    page.go(f"{server.url}/healthz")
    asked = page.run(
        "fetch('/v1/batches/register', {method: 'POST',"
        " headers: {'Content-Type': 'application/json'},"
        f" body: JSON.stringify({dict(registration(1))!r})}}).then(answer => answer.status)"
    )
    triggered = page.run(
        "fetch('/v1/batches/trigger-spellcheck-test', {method: 'POST'})"
        ".then(answer => answer.status)"
    )

    assert (asked, triggered) == (202, 202)
