"""The read API of ELS: parse, ask a view, answer."""

from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from huleedu.core.errors import NotFound
from huleedu.els import views
from huleedu.els.references import BATCH_UNKNOWN
from huleedu.store.database import Database
from huleedu.web.refusals import final


def routes(database: Database) -> list[HTTPRouteHandler]:
    """Return the routes, answering from this store."""

    @get("/v1/essays/{essay_id:str}/status")
    async def read_essay_status(
        essay_id: FromPath[str], batch_id: FromQuery[str | None] = None
    ) -> dict[str, Any]:
        """Return the state of an essay; ``batch_id`` where several batches use its id."""
        return dict(await database.read(lambda db: views.essay_status(db, essay_id, batch_id)))

    @get("/v1/essays/{essay_id:str}/timeline")
    async def read_essay_timeline(
        essay_id: FromPath[str], batch_id: FromQuery[str | None] = None
    ) -> dict[str, Any]:
        """Return when an essay reached which status."""
        return dict(await database.read(lambda db: views.essay_timeline(db, essay_id, batch_id)))

    @get("/v1/batches/{batch_id:str}/status")
    async def read_batch_status(batch_id: FromPath[str]) -> dict[str, Any]:
        """Return how many essays of a batch stand where."""
        return dict(await database.read(lambda db: views.batch_status(db, batch_id)))

    @get(
        "/v1/batches/{batch_id:str}/essays",
        exception_handlers={NotFound: final(BATCH_UNKNOWN)},
    )
    async def read_batch_essays(batch_id: FromPath[str]) -> dict[str, Any]:
        """Return the texts of a batch."""
        return dict(await database.read(lambda db: views.batch_essays(db, batch_id)))

    return [read_essay_status, read_essay_timeline, read_batch_status, read_batch_essays]
