"""Apache Kafka is fetched once, whole, however many test runs want it at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kafka_jars import KAFKA_VERSION, KafkaMissing, installed_jars, jar_directory

# In place of maven: notes that it was called, and takes its time to write the jar.
_MAVEN = f"""#!/bin/sh
echo called >>"$HULEEDU_CACHE_DIR/calls"
for argument; do case $argument in -DoutputDirectory=*) out=${{argument#*=}} ;; esac; done
mkdir "$out" && sleep 0.5 && echo jar >"$out/kafka_2.13-{KAFKA_VERSION}.jar"
"""
_BROKEN_MAVEN = """#!/bin/sh
echo no route to the repository
exit 1
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an empty folder ``bin`` that goes before the system's programs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HULEEDU_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def as_maven(cache: Path, script: str) -> None:
    path = cache / "bin" / "mvn"
    path.write_text(script)
    path.chmod(0o755)


@pytest.mark.slow
def test_several_runs_at_once_fetch_once(cache: Path) -> None:
    """One fetches, the others wait for it, and all end well with the whole directory."""
    as_maven(cache, _MAVEN)
    command = [sys.executable, "-m", "tests.support.kafka_jars"]
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]

    assert [run.wait(30) for run in runs] == [0, 0, 0]
    assert (cache / "calls").read_text().split() == ["called"]
    assert [path.name for path in jar_directory().iterdir()] == [f"kafka_2.13-{KAFKA_VERSION}.jar"]


def test_a_fetch_that_fails_leaves_nothing_and_says_why(cache: Path) -> None:
    """What maven said is in the error; the next run starts anew."""
    as_maven(cache, _BROKEN_MAVEN)

    with pytest.raises(KafkaMissing, match="no route to the repository"):
        installed_jars()

    assert not jar_directory().exists()
    assert not list(cache.glob("kafka-partial-*"))


def test_without_maven_the_error_names_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without maven the reason is said in words."""
    monkeypatch.setenv("PATH", str(cache / "bin"))

    with pytest.raises(KafkaMissing, match="mvn is missing"):
        installed_jars()
