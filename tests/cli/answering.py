"""Servers that answer from a script, asked over httpx's own stand-in for a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from huleedu.cli.client import ServerClient
from tests.support.simulated import simulated_platform

Answer = httpx.Response | httpx.TransportError
REGISTERED = {"batch_id": "b", "correlation_id": "c", "status": "registered"}


@dataclass
class Script:
    """Answers one request after the other; the last answer is given for ever."""

    answers: Sequence[Answer]
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(request)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer


def client_of(
    handler: Callable[[httpx.Request], httpx.Response], *, patience_seconds: float = 30.0
) -> ServerClient:
    """Return a client of the handler, with a clock that waiting moves on."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://test")
    return ServerClient(http, simulated_platform(), patience_seconds=patience_seconds)


def results_of(*, is_finished: bool, succeeded: int, expected: int = 2) -> dict[str, Any]:
    """Return the results of a batch with so many essays checked."""
    essays = [
        {
            "essay_id": f"e{number}",
            "status": "spellchecked_success" if number < succeeded else "awaiting_spellcheck",
            "status_text": "Checked" if number < succeeded else "Being checked",
        }
        for number in range(expected)
    ]
    return {
        "batch_id": "b",
        "status": "completed_successfully" if is_finished else "processing_pipelines",
        "status_text": "Done" if is_finished else "Being checked",
        "is_finished": is_finished,
        "counts": {
            "expected": expected,
            "texts_received": expected,
            "pending": expected - succeeded,
            "succeeded": succeeded,
            "failed": 0,
            "corrections": 0,
        },
        "essays": essays,
    }
