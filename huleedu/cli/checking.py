"""The whole way of a class in one short-lived process, on a store that is thrown away."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from huleedu.cli.answers import BatchResults
from huleedu.cli.client import ServerClient
from huleedu.cli.corrected import Corrected, read_archive
from huleedu.cli.inputs import EssayFile
from huleedu.cli.progress import Steps
from huleedu.cli.signals import run_to_end
from huleedu.cli.submission import Assignment, Submission, submit
from huleedu.cli.watching import poll
from huleedu.core.enums import Language
from huleedu.core.platform import Platform
from huleedu.core.settings import ModuleSettings, Settings

POLL_SECONDS = 0.1
_MODULES = ("bos", "els", "content", "files", "results")


@dataclass(frozen=True)
class Checked:
    """What became of one file: its corrected text, or why there is none."""

    file: EssayFile
    status_text: str
    student_name: str | None = None
    corrected: Corrected | None = None
    error: str | None = None


def check_files(
    files: Sequence[EssayFile],
    settings: Settings,
    course_code: str,
    language: Language,
    steps: Steps,
) -> Sequence[Checked]:
    """Return what became of each file, in order.

    The temporary store is gone afterwards, also when interrupted.  Raises what ``all_in_one`` and
    ``ServerClient`` raise.
    """
    with tempfile.TemporaryDirectory(prefix="huleedu-check-") as folder:
        own = _on_temporary_store(settings, Path(folder))
        return run_to_end(lambda: _check(files, own, course_code, language, steps))


def _on_temporary_store(settings: Settings, folder: Path) -> Settings:
    """Return the settings with every store in ``folder``, whatever else they say."""
    changed: dict[str, object] = {"data_dir": folder, "transport": "memory"}
    for name in _MODULES:
        module: ModuleSettings = getattr(settings, name)
        changed[name] = msgspec.structs.replace(module, database_path=None)
    return msgspec.structs.replace(settings, **changed)


async def _check(
    files: Sequence[EssayFile],
    settings: Settings,
    course_code: str,
    language: Language,
    steps: Steps,
) -> Sequence[Checked]:
    # Here, since it brings every module with it: commands that need none of them start at once.
    from huleedu.app import all_in_one  # noqa: PLC0415

    assignment = Assignment(course_code, "check", "None: checked from the command line.")
    steps.doing("Starting")
    async with all_in_one(settings, languages=(language,), progress=steps.doing) as running:
        application: Any = running.application  # httpx and Litestar write ASGI's types differently
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            client = ServerClient(http, Platform())
            return await _through(client, files, assignment, steps)


async def _through(
    client: ServerClient, files: Sequence[EssayFile], assignment: Assignment, steps: Steps
) -> Sequence[Checked]:
    platform = Platform()

    def on_sent(count: int) -> None:
        steps.doing("Reading", count, len(files))

    def on_change(results: BatchResults) -> None:
        counts = results.counts
        steps.doing("Checking", counts.succeeded + counts.failed, counts.expected)

    steps.doing("Reading", 0, len(files))
    first = await submit(client, platform, files, assignment, on_sent)
    refused = {one.file: one.error for one in first.refused}
    taken = [file for file in files if file not in refused]
    if not taken:
        return _told(files, refused, {})
    submission = first
    if refused:
        # The batch would wait for texts that cannot come; without those files it need not.
        submission = await submit(client, platform, taken, assignment, on_sent)
    results = await poll(client, submission.batch_id, on_change, POLL_SECONDS)
    corrected = read_archive(await client.results_file(submission.batch_id, "zip"))
    return _told(files, refused, _by_file(submission, results, corrected))


def _by_file(
    submission: Submission, results: BatchResults, corrected: Mapping[str, Corrected]
) -> Mapping[EssayFile, Checked]:
    essays = {essay.essay_id: essay for essay in results.essays}
    found = {}
    for sent in submission.sent:
        essay = essays.get(sent.essay_id or "")
        if essay is None:
            continue
        error = essay.error if essay.is_success else essay.error or essay.status_text
        text = corrected.get(essay.essay_id) if essay.is_success else None
        found[sent.file] = Checked(sent.file, essay.status_text, essay.student_name, text, error)
    return found


def _told(
    files: Sequence[EssayFile],
    refused: Mapping[EssayFile, str | None],
    checked: Mapping[EssayFile, Checked],
) -> Sequence[Checked]:
    return [
        Checked(file, "Not read", error=refused[file])
        if file in refused
        else checked.get(file) or Checked(file, "Lost", error="The server lost track of it.")
        for file in files
    ]
