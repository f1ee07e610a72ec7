"""Structured logs: one event a line, with the ids as fields, as JSON or for a terminal."""

import logging
import sys
from functools import lru_cache
from typing import Any, Literal, TextIO

import structlog

LogFormat = Literal["auto", "json", "console"]
"""``auto``: for a console where the stream is a terminal, else JSON."""
_OURS = "huleedu."
_NOT_FOR_LOGS = ("secret", "password", "token", "authorization", "api_key")


def configure_logging(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send every log line of the process, ours and the libraries', to ``stream`` (stderr)."""
    is_terminal = (stream or sys.stderr).isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    if form == "json" or (form == "auto" and not is_terminal):
        last: list[structlog.typing.Processor] = [
            # Without the local variables: they hold texts, names and secrets.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=is_terminal,
                exception_formatter=structlog.dev.plain_traceback,  # rich's shows the locals too
            )
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: a line that nobody reads costs nothing
            *shared,
            *last,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _LineFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


class _LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Gives the lines of libraries the form of ours, which come in it."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.startswith(_OURS):
            return record.getMessage()
        return super().format(record)


def _without_secrets(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for field, value in event.items():
        event[field] = _masked(field, value)
    return event


def _masked(field: object, value: Any) -> Any:
    """Return ``value``, or stars when its name, or a name inside of it, is a secret's."""
    if _is_secret(str(field)):
        return "***"
    if isinstance(value, dict):
        return {inner: _masked(inner, part) for inner, part in value.items()}
    return value


@lru_cache(maxsize=1024)  # fields have few names, and each is in every line
def _is_secret(field: str) -> bool:
    return any(word in field.lower() for word in _NOT_FOR_LOGS)


def create_service_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one module, named as ``huleedu.<module>``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(_OURS + name)
    return logger


def is_logged(name: str, level: int) -> bool:
    """Tell whether anybody reads lines of this level of one module."""
    return logging.getLogger(_OURS + name).isEnabledFor(level)


def log_event_processing(
    logger: structlog.stdlib.BoundLogger,
    outcome: str,
    *,
    event_type: str,
    event_id: str,
    correlation_id: str | None = None,
    batch_id: str | None = None,
    essay_id: str | None = None,
    level: int = logging.INFO,
    **fields: Any,
) -> None:
    """Log what became of one event, with the fields by which a batch's story is joined."""
    if essay_id is not None:
        fields["essay_id"] = essay_id
    logger.log(
        level,
        outcome,
        event_type=event_type,
        event_id=event_id,
        correlation_id=correlation_id,
        batch_id=batch_id,
        **fields,
    )
