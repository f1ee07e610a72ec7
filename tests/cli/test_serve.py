"""``huleedu serve``: what it refuses, and how it starts and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from huleedu.cli.refusals import refusal_of
from tests.cli.program import run
from tests.crash.process import HuleeduProcess


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--role", "bos", "--role", "nonsense"), "bos-worker, els-api"),
        (
            ("--role", "bos,nonsense", "--role", "mad"),
            "no role 'nonsense' or 'mad'. There are",
        ),
        (("--role", "bos,"), "there is no role ''. There are: bos"),
        (("--role", "all-in-one"), "topics; everything in one process is `huleedu serve all-in"),
        (("--role", "bos, content", "--port", "80"), "bos and content each"),
        ((), "serve all-in-one"),
        (("--role", "bos", "all-in-one"), "--role goes without it"),
        (("--port", "0", "all-in-one"), "options go behind the command"),
        (("--role", "bos", "--role", "content", "--port", "80"), "bos and content each"),
    ],
)
def test_what_cannot_be_served_is_told(arguments: tuple[str, ...], said: str) -> None:
    """An unknown role names the known, a port is for one module, nothing is not a choice."""
    ran = run("serve", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "bos,els-api,content"),
        ("--role", "bos, els-api ,content"),
        ("--role", "bos,els-api", "--role", "content,bos"),
        ("--role", "bos", "--role", "els-api", "--role", "content"),
    ],
)
def test_several_roles_are_named_in_one_option_or_in_many(arguments: tuple[str, ...]) -> None:
    """Each is run once, in whatever way and however often it is named."""
    ran = run("serve", *arguments, "--port", "80")

    assert ran.code == 2
    assert "--port is for one module, and bos and content and els each" in ran.err


@pytest.mark.parametrize(
    ("transport", "arguments", "said"),
    [
        ("kafka", ("all-in-one",), "carries its messages in memory"),
        ("memory", ("--role", "bos"), "speak over Kafka"),
    ],
)
def test_a_transport_that_does_not_fit_is_refused(
    transport: str,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A setting that cannot be honoured stops the program instead of being ignored."""
    monkeypatch.setenv("HULEEDU_TRANSPORT", transport)
    ran = run("serve", *arguments, "--port", "0", "--data-dir", tmp_path / "data")

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "environment HULEEDU_TRANSPORT" in ran.err
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made_may_be_there_later(tmp_path: Path) -> None:
    """A folder that cannot be written to now is not the caller's mistake for ever."""
    (tmp_path / "file").write_text("")
    ran = run("serve", "all-in-one", "--port", "0", "--data-dir", tmp_path / "file" / "below")

    assert ran.code == 75
    assert "cannot be written to" in ran.err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HuleeduProcess]:
    server = HuleeduProcess(tmp_path / "data", tmp_path / "log")
    server.start()
    yield server
    server.kill()


def _events(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.slow
def test_a_server_holds_its_data_directory_and_ends_in_order(
    server: HuleeduProcess, tmp_path: Path
) -> None:
    """A second process on the same data or the same port exits 2; SIGTERM ends the first with 0."""
    port = server.url.rpartition(":")[2]
    same_data = run("serve", "all-in-one", "--port", "0", "--data-dir", tmp_path / "data")
    same_port = run("serve", "all-in-one", "--port", port, "--data-dir", tmp_path / "other")
    alive = httpx.get(f"{server.url}/healthz")
    begun = time.monotonic()
    code = server.stop()

    assert (2, "in use by another huleedu" in same_data.err) == (same_data.code, True)
    assert (2, "--port" in same_port.err) == (same_port.code, True)
    assert alive.status_code == 200
    assert code == 0
    assert time.monotonic() - begun < 10  # the promise of `docker stop`, not a speed
    assert _events(tmp_path / "log")[-1]["event"] == "stopped"


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(server: HuleeduProcess) -> None:
    """While a request in hand holds up the end, another Ctrl-C does not wait for it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as held:
        head = b"POST /v1/batches/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        held.sendall(head + b"Content-Type: application/json\r\n\r\n{")
        assert httpx.get(f"{server.url}/healthz").status_code == 200  # the server has begun on it
        os.kill(server.pid, signal.SIGINT)
        deadline = time.monotonic() + 20
        while _accepts(host, int(port)):
            assert time.monotonic() < deadline
        os.kill(server.pid, signal.SIGINT)
        code = server.stop()

    assert code == -signal.SIGINT


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_metrics_and_a_warning_without_authentication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PROMETHEUS_PORT has metrics on a port of their own; an open address is warned about."""
    monkeypatch.setenv("PROMETHEUS_PORT", "0")
    server = HuleeduProcess(tmp_path / "data", tmp_path / "log", "--host", "0.0.0.0")
    server.start()
    events = {str(one["event"]): one for one in _events(tmp_path / "log")}
    url = str(events["metrics_listening"]["url"]).replace("0.0.0.0", "127.0.0.1")
    metrics = httpx.get(url)
    server.stop()

    assert "no_authentication_yet" in events
    assert "batch_operations_total" in metrics.text


@pytest.mark.slow
def test_a_server_answers_to_its_addresses_and_to_the_names_it_was_given(tmp_path: Path) -> None:
    """The commands reach it by each; who asks for another name reads which setting to change."""
    server = HuleeduProcess(
        tmp_path / "data",
        tmp_path / "log",
        "--host",
        "0.0.0.0",
        environment={"HULEEDU_ALLOWED_HOSTS": "school.example"},
    )
    server.start()
    port = server.url.rpartition(":")[2]
    listed = [
        run("batch", "list", "--server", f"http://{host}:{port}").code
        for host in ("127.0.0.1", "localhost", "127.0.0.2")
    ]
    named = {
        host: httpx.get(f"http://127.0.0.1:{port}/v1/batches", headers={"Host": host})
        for host in ("school.example", "other.example")
    }
    server.stop()

    assert listed == [0, 0, 0]
    assert named["school.example"].status_code == 200
    assert named["other.example"].status_code == 421
    assert "HULEEDU_ALLOWED_HOSTS" in str(refusal_of(named["other.example"]))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing_behind(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end a check with 130, and its temporary store is gone."""
    examples = Path(__file__).parents[2] / "examples" / "eng5"
    process = subprocess.Popen(
        [sys.executable, "-m", "huleedu", "check", str(examples), "--course", "ENG5"],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("huleedu-check-*/bos.db")):  # its store is open: it is at work
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)

    assert (process.returncode, said) == (130, "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []
