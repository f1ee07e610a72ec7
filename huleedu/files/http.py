"""The upload route: parse, call, answer."""

from typing import Any

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler

from huleedu.core.platform import Platform
from huleedu.core.ports import ContentClient
from huleedu.core.settings import FilesSettings, Limits
from huleedu.files.intake import Intake, Receipt
from huleedu.files.model import FileReceipt
from huleedu.files.sandbox import Extractor
from huleedu.files.upload_form import read_upload_form
from huleedu.store.database import Database
from huleedu.web.media_types import NOT_JSON
from huleedu.web.request import correlation_id_of


def routes(
    database: Database,
    platform: Platform,
    settings: FilesSettings,
    limits: Limits,
    content: ContentClient,
    extractor: Extractor,
) -> list[HTTPRouteHandler]:
    """Return ``POST /v1/files/batch``."""
    intake = Intake(database, platform, settings, limits, content, extractor)

    @post(
        "/v1/files/batch",
        status_code=202,
        opt=NOT_JSON,
        request_max_body_size=None,  # counted while it is read, for a clearer answer
        summary="Upload the essays of a batch",
        tags=["files"],
    )
    async def upload_files(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Take the files of a ``multipart/form-data`` form.

        Parts: ``batch_id``, then ``files`` once a file, each of which an ``essay_id`` may precede.
        The answer tells of each file, in order, whose essay it is or why it was not taken.
        """
        async with read_upload_form(request, limits, platform.hops) as form:
            receipt = await intake.take(form.batch_id, form.files, correlation_id_of(request))
        return _answer(receipt)

    return [upload_files]


def _answer(receipt: Receipt) -> dict[str, Any]:
    correlation_id = receipt.registration.correlation_id
    taken, files = sum(one.error is None for one in receipt.files), len(receipt.files)
    return {
        "message": f"{taken} of {files} {'file' if files == 1 else 'files'} taken.",
        "batch_id": receipt.registration.batch_id,
        "correlation_id": None if correlation_id is None else str(correlation_id),
        "files": [_file(one) for one in receipt.files],
    }


def _file(receipt: FileReceipt) -> dict[str, str | None]:
    if receipt.error is not None:
        return {
            "name": receipt.file_name,
            "error": receipt.error,
            "reason": receipt.reason,
        }
    return {
        "name": receipt.file_name,
        "essay_id": receipt.essay_id,
        "outcome": receipt.outcome.value,
    }
