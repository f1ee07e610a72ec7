"""The program as its own process: started, asked, and killed."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

START_SECONDS_MAX = 60.0


class HuleeduProcess:
    """``huleedu serve all-in-one`` on a data directory, on a free port.

    ``program`` is the module that is run, ``environment`` what it is told beside its options,
    ``planted`` a bug that it has (see ``planted``).
    """

    def __init__(
        self,
        data_dir: Path,
        log: Path,
        *options: str,
        program: str = "huleedu",
        environment: Mapping[str, str] = MappingProxyType({}),
        planted: str | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._log = log
        self._options = options
        self._program = "tests.crash.planted" if planted else program
        self._environment = {"PLANTED": planted or "", **environment}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and return when it listens; raises ``AssertionError`` when it does not."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HULEEDU_")}
        environment = {**inherited, **self._environment}
        command = [
            *(sys.executable, "-m", self._program, "serve", "all-in-one", "--port", "0"),
            *("--data-dir", str(self._data_dir), "--log-format", "json", *self._options),
        ]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )
        listening: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._follow, args=(listening,), daemon=True)
        self._reader.start()
        try:
            url = listening.get(timeout=START_SECONDS_MAX)
        except queue.Empty:
            url = None
        if url is None:
            self.kill()
            raise AssertionError(f"it did not start; its log is {self._log}")
        self.url = url

    def kill(self) -> None:
        """Kill -9 and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        return self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Return its exit code once it has ended by itself; raises ``TimeoutExpired``."""
        assert self._process is not None
        code = self._process.wait(timeout=seconds)
        if self._reader is not None:
            self._reader.join(timeout=30)
        return code

    def _end(self, how: signal.Signals) -> int:
        self.send(how)
        return self.wait()

    def _follow(self, listening: "queue.Queue[str | None]") -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with self._log.open("a") as log, self._process.stderr as lines:
            for line in lines:
                log.write(line)
                log.flush()
                url = _listening_on(line)
                if url is not None:
                    listening.put(url)
        listening.put(None)


def _listening_on(line: str) -> str | None:
    try:
        told = json.loads(line)
    except json.JSONDecodeError:
        return None
    return told["url"] if told.get("event") == "listening" else None


def essays_in(folder: Path) -> Sequence[Path]:
    """Return the essays of an example class."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".txt", ".docx"))
