"""A class of files on its way to a server: registered, then sent in requests of bearable size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from huleedu.cli.client import Registration, ServerClient
from huleedu.cli.inputs import EssayFile
from huleedu.core.ids import Ids
from huleedu.core.platform import Platform

UPLOAD_FILES_MAX = 1_000
"""Of one request; the contract's limit."""
UPLOAD_BYTES_MAX = 95_000_000
"""Of the files of one request: the contract's 100 MB, less what the form around them takes."""
NAMED_UPLOAD_FILES_MAX = 50
"""Where each file names its essay the slices may be small: less to send again, more to see."""
NAMED_UPLOAD_BYTES_MAX = 20_000_000


@dataclass(frozen=True)
class Sent:
    """What became of one file: whose essay it is, or why the server did not take it."""

    file: EssayFile
    essay_id: str | None
    error: str | None = None


@dataclass(frozen=True)
class Submission:
    """A class that was registered and sent."""

    batch_id: str
    correlation_id: str
    sent: Sequence[Sent]

    @property
    def refused(self) -> Sequence[Sent]:
        """The files that the server did not take."""
        return [one for one in self.sent if one.error is not None]


@dataclass(frozen=True)
class Assignment:
    """What a class was asked to write, and in which course."""

    course_code: str
    class_designation: str
    essay_instructions: str
    readiness_timeout_seconds: float | None = None


def new_essay_ids(count: int, ids: Ids) -> Sequence[str]:
    """Return ids that no other batch has, numbered in order: ``essay-4f0c1c526f7d-01``."""
    token = ids.new().hex[:12]
    digits = max(2, len(str(count)))
    return [f"essay-{token}-{number:0{digits}}" for number in range(1, count + 1)]


async def submit(
    client: ServerClient,
    platform: Platform,
    files: Sequence[EssayFile],
    assignment: Assignment,
    on_sent: Callable[[int], None],
) -> Submission:
    """Register one essay a file and send the files; ``on_sent`` hears how many are there.

    A cut connection registers nothing twice.  Raises what :class:`ServerClient` raises.
    """
    essay_ids = new_essay_ids(len(files), platform.ids)
    registered = await client.register(
        Registration(
            essay_ids=essay_ids,
            course_code=assignment.course_code,
            class_designation=assignment.class_designation,
            essay_instructions=assignment.essay_instructions,
            readiness_timeout_seconds=assignment.readiness_timeout_seconds,
        ),
        idempotency_key=str(platform.ids.new()),
    )
    sent = await send(client, registered.batch_id, files, essay_ids, on_sent, is_new=True)
    return Submission(registered.batch_id, registered.correlation_id, sent)


async def send(
    client: ServerClient,
    batch_id: str,
    files: Sequence[EssayFile],
    essay_ids: Sequence[str] | None,
    on_sent: Callable[[int], None],
    *,
    is_new: bool = False,
) -> Sequence[Sent]:
    """Send files to a batch, each to its essay where ``essay_ids`` names them.

    Raises what :class:`ServerClient` raises.
    """
    sent: list[Sent] = []
    for slice_files in slices(files, are_named=essay_ids is not None):
        slice_ids = None if essay_ids is None else essay_ids[len(sent) :][: len(slice_files)]
        uploaded = await client.upload(batch_id, slice_files, slice_ids, is_new=is_new)
        sent += [
            Sent(file, told.essay_id, told.error)
            for file, told in zip(slice_files, uploaded.files, strict=True)
        ]
        on_sent(len(sent))
    return sent


def slices(files: Sequence[EssayFile], *, are_named: bool) -> Iterator[Sequence[EssayFile]]:
    """Yield the files in order, as many at a time as one request may hold.

    Files that name no essay are matched request by request, so those stay together for as long
    as the contract allows.
    """
    files_max = NAMED_UPLOAD_FILES_MAX if are_named else UPLOAD_FILES_MAX
    bytes_max = NAMED_UPLOAD_BYTES_MAX if are_named else UPLOAD_BYTES_MAX
    part: list[EssayFile] = []
    size = 0
    for file in files:
        if part and (len(part) == files_max or size + file.size > bytes_max):
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    if part:
        yield part
