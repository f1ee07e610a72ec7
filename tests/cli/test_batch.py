"""``huleedu batch`` against a server: a real process, real sockets."""

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.program import Ran, run
from tests.crash.process import HuleeduProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    process = HuleeduProcess(folder / "data", folder / "log")
    process.start()
    yield process.url
    process.stop()


def _run(server: str, *arguments: object) -> Ran:
    return run("batch", *arguments, "--server", server)


def _registered(server: str, *essay_ids: str) -> str:
    named = [part for essay_id in essay_ids for part in ("--essay-id", essay_id)]
    ran = _run(
        server,
        *("register", "--course", "SV1", "--class", "9B", "--instructions", "Skriv."),
        *named,
        "--json",
    )
    return str(json.loads(ran.out)["batch_id"])


def test_both_example_classes_at_once(server: str, tmp_path: Path) -> None:
    """Two classes submitted at the same time are followed to their ends, every essay checked."""
    processes = {
        course: subprocess.Popen(
            [
                *(sys.executable, "-m", "huleedu", "batch", "submit", str(EXAMPLES / folder)),
                *("--course", course, "--class", "9A", "--watch", "--json", "--server", server),
                *("--out", str(tmp_path / course)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for course, folder in (("ENG5", "eng5"), ("SV1", "sv1"))
    }
    for course, process in processes.items():
        out, err = process.communicate(timeout=55)
        told = json.loads(out)

        assert process.returncode == 0, err
        assert told["results"]["counts"]["succeeded"] == 12
        assert len(list((tmp_path / course).glob("*.txt"))) == 12
        assert len(list((tmp_path / course).glob("*.json"))) == 12
        assert b"Checked" in err


def test_a_batch_from_registration_to_its_files(server: str, tmp_path: Path) -> None:
    """Registered, uploaded, watched, listed and fetched in every form."""
    batch_id = _registered(server, "e1", "e2")
    for number, text in enumerate(["Jag tycker om skolan.", "Det är intresant."], start=1):
        (tmp_path / f"e{number}.txt").write_text(text)
    uploaded = _run(server, "upload", batch_id, tmp_path)
    watched = _run(server, "watch", batch_id)
    status = _run(server, "status", batch_id)
    listed = json.loads(_run(server, "list", "--json").out)["batches"]
    table = _run(server, "results", batch_id)
    document = json.loads(_run(server, "results", batch_id, "--json").out)
    rows = _run(server, "results", batch_id, "--format", "csv")
    archive = tmp_path / "results.zip"
    saved = _run(server, "results", batch_id, "--format", "zip", "--out", archive)

    everything = [uploaded, watched, status, table, rows, saved]
    assert [0] * len(everything) == [ran.code for ran in everything]
    assert "completed_successfully" in status.out
    assert batch_id in {one["batch_id"] for one in listed}
    assert "2 of 2 essays checked" in watched.err
    assert document["counts"]["succeeded"] == 2
    assert len(list(csv.reader(rows.out.splitlines()))) == 3
    assert {"e1.txt", "e1.json", "e2.txt", "e2.json"} <= set(zipfile.ZipFile(archive).namelist())


def test_a_registration_under_one_key_is_one_batch(server: str) -> None:
    """Run again with the same key, the command tells the same batch."""
    again = (
        *("register", "--course", "SV1", "--class", "9B", "--instructions", "Skriv."),
        *("--essay-id", "e1", "--idempotency-key", "test-key-1", "--json"),
    )

    assert _run(server, *again).out == _run(server, *again).out


def test_every_fault_of_a_registration_is_told(server: str) -> None:
    """All that is wrong is listed at once, with exit code 1."""
    ran = _run(
        server,
        *("register", "--course", "X", "--class", " ", "--instructions", "x"),
        *("--essay-id", "a", "--essay-id", "a", "--essay-id", "å"),
    )

    assert (ran.code, ran.out) == (1, "")
    for said in ("essay_ids[1]", "essay_ids[2]", "course_code", "class_designation"):
        assert said in ran.err


def test_a_refused_file_is_told_and_can_be_sent_again(server: str, tmp_path: Path) -> None:
    """A submission with an unreadable file ends with 1, and says how to go on from there."""
    (tmp_path / "good.txt").write_text("Jag tycker om skolan.")
    (tmp_path / "bad.docx").write_bytes(b"no document")
    submitted = _run(
        server, "submit", tmp_path, "--course", "SV1", "--class", "9B", "--watch", "--json"
    )
    told = json.loads(submitted.out)
    (tmp_path / "bad.txt").write_text("Nu går det.")
    mended = _run(server, "upload", told["batch_id"], tmp_path / "bad.txt")
    watched = _run(server, "watch", told["batch_id"])

    assert submitted.code == 1
    assert [Path(one["file"]).name for one in told["files"] if one["error"]] == ["bad.docx"]
    assert f"huleedu batch upload {told['batch_id']}" in submitted.err
    assert (mended.code, watched.code) == (0, 0)


def test_a_teacher_gives_more_time_and_then_stops_the_batch(server: str) -> None:
    """Each step is told; what the state does not allow ends with 1 and the reason."""
    batch_id = _registered(server, "e1", "e2")
    deadline = json.loads(_run(server, "status", batch_id, "--json").out)["readiness"]["deadline"]
    later = datetime.fromisoformat(deadline) + timedelta(days=1, hours=2)

    extended = _run(server, "extend", batch_id, "--by", "1d2h")
    status = _run(server, "status", batch_id)
    cancelled = _run(server, "cancel", batch_id, "--reason", "the wrong class", "--json")
    again = _run(server, "cancel", batch_id)
    late = _run(server, "extend", batch_id, "--deadline", f"{later.date()}T08:00+01:00")
    watched = _run(server, "watch", batch_id)

    assert [ran.code for ran in (extended, status, cancelled, again, late)] == [0, 0, 0, 1, 1]
    assert f"huleedu batch watch {batch_id}" in extended.err
    assert later.strftime("%Y-%m-%dT%H:%M:%S") in status.out
    said = {"batch_id": batch_id, "status": "cancelled", "attempt": 1}
    assert json.loads(cancelled.out) == said
    assert again.err == "Error: The batch was cancelled already.\n"
    assert (watched.code, "Cancelled: the wrong class" in watched.err) == (1, True)


@pytest.mark.parametrize("action", ["proceed", "cancel", "retry"])
def test_an_action_on_an_unknown_batch_ends_with_1(server: str, action: str) -> None:
    """A batch that does not exist is told by its id."""
    ran = _run(server, action, "no-such-batch")

    assert (ran.code, ran.out) == (1, "")
    assert "no-such-batch" in ran.err


def test_a_retry_of_what_has_not_ended_is_refused(server: str) -> None:
    """With the reason, and 1."""
    ran = _run(server, "retry", _registered(server, "e1"))

    assert (ran.code, ran.out) == (1, "")
    assert "has not ended yet" in ran.err


def test_essay_ids_must_be_as_many_as_files(server: str, tmp_path: Path) -> None:
    """Files and explicit ids that do not pair up are wrong use, found before anything is sent."""
    (tmp_path / "a.txt").write_text("x")
    ran = _run(server, "upload", "any", tmp_path, "--essay-id", "a", "--essay-id", "b")

    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("command", ["status", "results", "watch"])
def test_an_unknown_batch_ends_with_1(server: str, command: str) -> None:
    """A batch that does not exist is told by its id."""
    ran = _run(server, command, "no-such-batch")

    assert (ran.code, ran.out) == (1, "")
    assert "no-such-batch" in ran.err
