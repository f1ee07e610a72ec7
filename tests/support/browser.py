"""A real browser without a window, told what to do over a pipe (Chrome DevTools Protocol).

``python -m tests.support.browser`` installs one ahead of a test run, where it may.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.kafka_jars import must_be_complete

SECONDS_MAX = 30.0
"""For one step, on a machine that does much else."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests of a container run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # Nothing of its own goes out to the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class BrowserMissing(Exception):
    """There is no browser on this machine; the message says how to get one."""


def installed_browser() -> str:
    """Return the path of a browser.  Raises ``BrowserMissing``."""
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise BrowserMissing(
        f"none of {', '.join(_NAMES)} is installed: `make browser` as root on Debian, or install "
        "chromium"
    )


def install_browser() -> str:
    """Return the path of a browser, after installing Debian's where there is none.

    Raises ``BrowserMissing`` where that takes somebody else: not root, or no apt-get.
    """
    try:
        return installed_browser()
    except BrowserMissing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"],
    ):
        if subprocess.run(command, env=environment, check=False).returncode:
            raise BrowserMissing(f"`{' '.join(command)}` failed; install chromium by hand")
    return installed_browser()


class Page:
    """One tab."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session
        self._call("Page.enable")

    def go(self, url: str) -> None:
        """Go to an address, and return once its answer is there."""
        found = self._call("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return what a script comes to, waited for where it is a promise."""
        found = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Return once a script comes to true, on whatever page the tab is by then."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            try:
                if self.run(script):
                    return
            except RefusedByBrowser:  # the page went away meanwhile
                pass
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)

    def heed_no_policy(self) -> None:
        """Let scripts of ours fetch from pages whose own policy forbids every fetch."""
        self._call("Page.setBypassCSP", enabled=True)

    def _call(self, method: str, **parameters: Any) -> Any:
        return self._browser.call(method, self._session, **parameters)


class RefusedByBrowser(Exception):
    """The browser did not do what it was told."""


class Browser:
    """A running browser, and the pipe to it.  It ends with the pipe, so with its owner too."""

    def __init__(self, process: "subprocess.Popen[bytes]", reads: int, writes: int) -> None:
        self._process = process
        self._reads = reads
        self._writes = writes
        self._last = 0
        self._heard = b""

    def new_page(self) -> Page:
        """Return a new tab, empty."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        return Page(self, attached["sessionId"])

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Return the answer to one call.  Raises ``RefusedByBrowser``."""
        self._last += 1
        call: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            call["sessionId"] = session
        os.write(self._writes, json.dumps(call).encode() + b"\0")
        deadline = time.monotonic() + SECONDS_MAX
        while (told := self._next(deadline)).get("id") != self._last:
            pass  # an event, or what came too late
        if "error" in told:
            raise RefusedByBrowser(f"{method}: {told['error']}")
        return told["result"]

    def _next(self, deadline: float) -> Mapping[str, Any]:
        while b"\0" not in self._heard:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._reads], [], [], max(left, 0))
            assert ready, f"the browser said nothing for {SECONDS_MAX:.0f} s"
            part = os.read(self._reads, 65_536)
            assert part, f"the browser ended with {self._process.wait()}"
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\0")
        told: Mapping[str, Any] = json.loads(line)
        return told


@contextmanager
def running_browser(directory: Path, *names: str) -> Iterator[Browser]:
    """Run a browser with a new profile below ``directory``; ``names`` are this machine to it.

    Raises ``BrowserMissing``.
    """
    program = installed_browser()
    their_end, writes = os.pipe()
    reads, their_answers = os.pipe()
    rules = ", ".join(f"MAP {name} 127.0.0.1" for name in names)
    command = [program, *_FLAGS, f"--user-data-dir={directory}", f"--host-resolver-rules={rules}"]
    # It reads file 3 and writes file 4.
    places = f'exec "$@" 3<&{their_end} 4>&{their_answers}'
    with (directory.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", places, "browser", *command],
            pass_fds=(their_end, their_answers),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    os.close(their_end)
    os.close(their_answers)
    try:
        yield Browser(process, reads, writes)
    finally:
        os.close(writes)
        try:
            process.wait(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(reads)


def main() -> None:
    """Install a browser if there is none; ends with 1 where its tests must not be left out."""
    try:
        _say(f"browser: {install_browser()}")
    except BrowserMissing as missing:
        _say(f"tests with a browser will be left out: {missing}")
        sys.exit(1 if must_be_complete() else 0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
