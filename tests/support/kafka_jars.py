"""The jars of Apache Kafka, fetched once into a cache outside the tree.

``python -m tests.support.kafka_jars`` does it ahead of a test run, and prints where they are.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"  # what kafka_2.13 of this version depends on
INSTALL_SECONDS_MAX = 600.0

# Without the binding of slf4j the broker would not log why it does not start.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>huleedu</groupId><artifactId>kafka-jars</artifactId><version>1</version>
<packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId>
<artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId>
<artifactId>log4j-slf4j-impl</artifactId><version>{LOG4J_VERSION}</version></dependency>
</dependencies></project>
"""


class KafkaMissing(Exception):
    """Something that a broker of our own needs is not on this machine; the message names it."""


def jar_directory() -> Path:
    """Return where the jars are or will be.

    Below HULEEDU_CACHE_DIR, else below ``huleedu`` in the user's cache.
    """
    own = os.environ.get("HULEEDU_CACHE_DIR")
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(own) if own else users / "huleedu") / f"kafka-{KAFKA_VERSION}"


def installed_jars() -> Path:
    """Return the directory of the jars, after fetching them if they are not there.

    Any number of processes may call it at once: one fetches, the others wait.  The directory
    appears complete or not at all.  Raises ``KafkaMissing`` when maven is not there or fails.
    """
    directory = jar_directory()
    if directory.exists():
        return directory
    if shutil.which("mvn") is None:
        raise KafkaMissing("mvn is missing: it fetches the jars of Apache Kafka (install maven)")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(directory.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            _fetch(directory)
    return directory


def _fetch(directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="kafka-partial-") as work:
        Path(work, "pom.xml").write_text(_POM)
        jars = Path(work, "jars")
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        try:
            done = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KafkaMissing(f"mvn took over {INSTALL_SECONDS_MAX:.0f} s") from error
        if done.returncode != 0 or not (jars / f"kafka_2.13-{KAFKA_VERSION}.jar").exists():
            raise KafkaMissing(
                f"mvn did not fetch the jars of Apache Kafka:\n{done.stdout[-2000:]}"
            )
        jars.rename(directory)


def must_be_complete() -> bool:
    """Return whether a part of the tests may not be left out: CI=true in the environment."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def main() -> None:
    """Fetch the jars if the tests will need them; ends with 1 where that must not fail."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        _say("KAFKA_BOOTSTRAP_SERVERS names the broker of the tests")
        return
    try:
        _say(f"Apache Kafka: {installed_jars()}")
    except KafkaMissing as error:
        _say(f"tests with a broker will be left out: {error}")
        sys.exit(1 if must_be_complete() else 0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
