"""A real broker for tests and benchmarks: Apache Kafka (KRaft), one node, loopback only."""

import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import anyio
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from tests.support.kafka_jars import KafkaMissing, installed_jars

START_SECONDS_MAX = 100.0
STOP_SECONDS_MAX = 30.0
TREE = Path(__file__).parents[2]

_LOG4J = """<Configuration status="WARN">
<Appenders><Console name="log" target="SYSTEM_OUT">
<PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="log"/></Root></Loggers>
</Configuration>
"""
# Small topics of its own and no waiting for more members, so that tests are quick; the shortest
# session and the search for expired transactions each second let tests ask for short limits.
# A killed node is let in again when its session in the cluster has run out, after 9 s by default.
_CONFIGURATION = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
delete.topic.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=8388608
"""


class BrokerFailed(Exception):
    """The broker did not do as asked; the message ends with the end of its log."""


class KafkaBroker:
    """One node in ``directory``, which it makes and does not remove.

    Between a ``start`` and the next it keeps data and ports.  It ends with this process, whatever
    ends this process.  The methods block; call ``start`` and ``stop`` from a thread where an event
    loop runs.
    """

    def __init__(self, directory: Path, *, heap_megabytes: int = 768) -> None:
        self._directory = directory
        self._heap_megabytes = heap_megabytes
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.controller_port = _free_ports()
        self.log = directory / "kafka.log"

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, on the data that is there, and return when it answers.

        Does nothing when it runs.  Raises ``KafkaMissing`` when java, mvn or the jars are not to
        be had, ``BrokerFailed`` when it ends or does not answer within ``START_SECONDS_MAX``.
        """
        if self.is_running:
            return
        if _listens(self.port):  # it would be taken for ours
            raise BrokerFailed(f"another program listens at {self.bootstrap_servers}")
        if shutil.which("java") is None:
            raise KafkaMissing("java is missing: Apache Kafka needs 17 or later")
        classpath = f"{installed_jars()}/*"
        if not (self._directory / "data" / "meta.properties").exists():
            self._format(classpath)
        heap = f"{self._heap_megabytes}m"
        log4j = f"-Dlog4j2.configurationFile={self._directory / 'log4j2.xml'}"
        java = ["java", f"-Xms{heap}", f"-Xmx{heap}", log4j, "-cp", classpath]
        guard = [sys.executable, "-m", "tests.support.kafka_guard", str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *java, "kafka.Kafka", str(self._directory / "server.properties")],
                cwd=TREE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the broker
            )
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Let it close its files and end; kills it after ``STOP_SECONDS_MAX`` seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)  # one that is paused would not hear it
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it by SIGKILL, paused or not, and return when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT) where it was frozen."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, characters: int = 3000) -> str:
        """Return the end of what the broker said."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def _format(self, classpath: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._directory / "server.properties"
        properties.write_text(
            _CONFIGURATION.format(
                port=self.port,
                controller_port=self.controller_port,
                data=self._directory / "data",
            )
        )
        (self._directory / "log4j2.xml").write_text(_LOG4J)
        # As Kafka writes a uuid; "I…" because an argument must not begin with a dash.
        cluster = "I" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        formatting = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
        done = subprocess.run(
            ["java", "-XX:TieredStopAtLevel=1", "-cp", classpath, *formatting],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerFailed(f"the data directory could not be formatted:\n{done.stdout}")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not _listens(self.port) or not anyio.run(answers, self.bootstrap_servers):
            if not self.is_running:
                raise BrokerFailed(f"the broker ended; its log ends with:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerFailed(
                    f"no answer from {self.bootstrap_servers} after {START_SECONDS_MAX:.0f} s; "
                    f"the log ends with:\n{self.log_tail()}"
                )
            time.sleep(0.05)


class ForeignBroker:
    """A broker that somebody else runs; it cannot be killed or paused from here."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers


async def answers(bootstrap_servers: str, seconds: float = 5.0) -> bool:
    """Return whether a broker tells the cluster's state, with a node to write to, in time."""
    # The library waits three times at most, and forgets to close a connection when it is cancelled.
    third = int(seconds * 1000 / 3)
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=third)
    with anyio.move_on_after(seconds + 1.0):
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers()) and client.cluster.controller is not None
        except (KafkaError, OSError):
            return False
        finally:
            with anyio.CancelScope(shield=True):
                await client.close()
    return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on, below those that outgoing connections get.

    Else, while the broker is away, a client of it that tries again could be given the broker's own
    port, and would keep it from coming back.
    """
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    choice = random.SystemRandom()
    while len(found) < 2:
        port = choice.randrange(10_000, max(lowest_outgoing, 10_100))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found[0], found[1]
