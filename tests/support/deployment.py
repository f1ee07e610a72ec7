"""A deployment as an operator has it: every role a process of its own, over one broker."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from huleedu.core.settings_keys import MODULE_PREFIXES
from huleedu.core.topics import TOPICS

STOP_SECONDS_MAX = 30.0
GROUPS = ("bos", "els", "files", "spellcheck", "results")
ANSWERING = ("bos", "els", "content", "files", "results")


class RoleProcess:
    """``huleedu serve --role …``; what it says is in its log."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log = Path(environment["HULEEDU_DATA_DIR"]) / f"{name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it goes on writing its log at the end."""
        assert not self.is_running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=dict(self._environment), stdout=subprocess.DEVNULL, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return its exit code once it has ended."""
        assert self._process is not None
        return self._process.wait(timeout=STOP_SECONDS_MAX)

    def kill(self) -> None:
        """Kill -9 and wait until it is gone; one that has ended may be killed too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what it logged, all of it or the events of this name."""
        # The last line may be half written.
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in told if name in (None, one["event"])]


class Deployment:
    """Roles that share a host, a data directory, a broker and a role secret made there.

    Its topics and groups begin with ``prefix``, so that deployments share a broker in peace.
    """

    def __init__(self, directory: Path, bootstrap_servers: str, prefix: str, **more: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        ports = dict(zip(ANSWERING, _free_ports(len(ANSWERING)), strict=True))
        self.urls = {module: f"http://127.0.0.1:{port}" for module, port in ports.items()}
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("HULEEDU_", "KAFKA_", *MODULE_PREFIXES.values()))
        }
        self.environment: dict[str, str] = {
            **inherited,
            "HULEEDU_DATA_DIR": str(directory),
            "HULEEDU_LOG_FORMAT": "json",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "CONTENT_SERVICE_URL": self.urls["content"],
            "ESSAY_LIFECYCLE_SERVICE_URL": self.urls["els"],
            "SPELL_CHECKER_SERVICE_PROCESSES": "1",
            **{f"{MODULE_PREFIXES[module]}HTTP_PORT": str(port) for module, port in ports.items()},
            **{
                f"{MODULE_PREFIXES[module]}CONSUMER_GROUP": f"{prefix}{module}" for module in GROUPS
            },
            **{f"KAFKA_TOPIC_{event.name}": prefix + topic.name for event, topic in TOPICS.items()},
            **more,
        }
        self.program = "huleedu"
        """The module that each of its processes runs."""
        self.processes: dict[str, RoleProcess] = {}

    def __enter__(self) -> "Deployment":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()

    def start(self, *roles: str, name: str | None = None) -> RoleProcess:
        """Start a process of these roles; ``name`` tells replicas apart."""
        name = name or "+".join(roles)
        arguments = [part for role in roles for part in ("--role", role)]
        command = [sys.executable, "-m", self.program, "serve", *arguments]
        process = self.processes[name] = RoleProcess(name, command, self.environment)
        process.start()
        return process

    def stop(self) -> dict[str, int]:
        """Ask every process to stop, together; return the exit code of each."""
        running = [process for process in self.processes.values() if process.is_running]
        for process in running:
            process.signal(signal.SIGTERM)
        return {process.name: process.wait() for process in running}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            ports.append(held.getsockname()[1])
        return ports
