"""One Litestar application around the routes that modules hand in."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar import Litestar, Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from huleedu import __version__
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.web.hosts import AllowedHosts
from huleedu.web.media_types import must_be_json
from huleedu.web.methods import EveryMethod
from huleedu.web.origins import OwnRequestsOnly
from huleedu.web.problems import exception_handlers
from huleedu.web.request import RequestContext
from huleedu.web.targets import BoundedTargets

Readiness = Callable[[], Awaitable[Sequence[str]]]
"""Answers why the process cannot do its work now, one sentence each; nothing when it can."""
HeldUp = Callable[[], Sequence[str]]
"""Answers which single messages wait to be tried again: named, and no reason to be not ready."""


class Application(Litestar):
    """A Litestar application all of whose answers, 404 included, pass through our middleware."""

    def __init__(
        self,
        platform: Platform,
        hosts: AllowedHosts,
        routes: Sequence[ControllerRouterHandler],
        **how: Any,
    ) -> None:
        super().__init__(routes, **how)
        inner = EveryMethod(BoundedTargets(super().__call__))
        self._around = RequestContext(OwnRequestsOnly(inner, hosts), platform)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one ASGI connection."""
        await self._around(scope, receive, send)


def build_application(
    routes: Sequence[ControllerRouterHandler],
    *,
    platform: Platform,
    limits: Limits,
    hosts: AllowedHosts = AllowedHosts(),  # noqa: B008 - it cannot change
    readiness: Readiness | None = None,
    held_up: HeldUp | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> Application:
    """Return the application of ``routes`` with health, metrics, ``/openapi.json`` and problems.

    It answers to ``hosts`` only, and no page of another site changes anything (``web.origins``).
    Bodies must be JSON but for a route that has ``opt=NOT_JSON``.
    A body may have as many bytes as the larger of ``limits.json_body_bytes`` and
    ``limits.text_bytes``; a route that takes more says so by ``request_max_body_size``.  A form
    may have two parts a file, and one more.
    """
    return Application(
        platform,
        hosts,
        [*routes, *_operations(readiness, held_up, registry)],
        exception_handlers=exception_handlers(),
        guards=[must_be_json],
        request_max_body_size=max(limits.json_body_bytes, limits.text_bytes),
        multipart_form_part_limit=2 * limits.upload_files + 1,
        openapi_config=OpenAPIConfig(
            title="huleedu",
            version=__version__,
            path="/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
        ),
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )


def _operations(
    readiness: Readiness | None, held_up: HeldUp | None, registry: CollectorRegistry
) -> list[ControllerRouterHandler]:
    @get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Tell that the process is alive."""
        return {"status": "alive"}

    @get("/readyz", tags=["operations"])
    async def readyz() -> Response[dict[str, Any]]:
        """Tell whether the process can do its work, and if not, every reason."""
        reasons = list(await readiness()) if readiness is not None else []
        waiting = list(held_up()) if held_up is not None else []
        named = {"held_up": waiting} if waiting else {}
        if reasons:
            body = {"status": "not ready", "reasons": reasons, **named}
            return Response(body, status_code=503)
        return Response({"status": "ready", **named})

    @get("/metrics", tags=["operations"], media_type="text/plain")
    async def metrics() -> Response[bytes]:
        """Tell every metric in Prometheus' text form."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [healthz, readyz, metrics]
