"""What a client was answered, and what of it the stores no longer hold.

An answer is kept by the client that got it, and asked for by SQL of this file: what a module says
of itself is not asked.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import msgspec


class Answered(msgspec.Struct, frozen=True):
    """A request that was answered with 2xx.

    ``what`` is ``registered``, ``uploaded``, ``stored`` (a text, in the content store) or the name
    of an action.  ``items``: the essays that were registered, essay → file name of those that were
    uploaded, or the storage id.
    """

    what: str
    batch_id: str = ""
    items: Mapping[str, str] = {}


ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "extend": "huleedu.batch.readiness.extended.v1",
        "proceed": "huleedu.batch.proceed.requested.v1",
        "cancel": "huleedu.batch.cancelled.v1",
    }
)
"""What a teacher can do, each with the topic on which others learn of it."""


def lost(data_dir: Path, answered: Iterable[Answered]) -> Sequence[str]:
    """Return in words what was answered and is not in the stores."""
    return [fault for one in answered for fault in _lost(data_dir, one)]


def _lost(data_dir: Path, one: Answered) -> Sequence[str]:
    where = f"batch {one.batch_id}: " if one.batch_id else ""
    try:
        missing = _CHECKS.get(one.what, _action)(data_dir, one)
    except sqlite3.DatabaseError as error:  # no such file or table either
        missing = [str(error)]
    return [f"{where}{one.what} was answered and is lost: {what}" for what in missing]


def _registered(data_dir: Path, one: Answered) -> Sequence[str]:
    rows = _rows(
        data_dir / "bos.db", "SELECT essay_count FROM batch WHERE batch_id = ?", one.batch_id
    )
    said = _said(data_dir, "huleedu.batch.essays.registered.v1", one.batch_id)
    return [*([] if rows == [(len(one.items),)] else [f"rows of BOS: {rows}"]), *said]


def _uploaded(data_dir: Path, one: Answered) -> Sequence[str]:
    missing = []
    for essay_id, name in one.items.items():
        texts = _rows(
            data_dir / "files.db",
            "SELECT storage_id FROM file WHERE batch_id = ? AND essay_id = ? AND file_name = ?",
            *(one.batch_id, essay_id, name),
        )
        if not texts:
            missing.append(f"{essay_id}, {name}")
        missing += [fault for (text,) in texts for fault in _text_missing(data_dir, str(text))]
    return [*missing, *_said(data_dir, "huleedu.file.essay.content.ready.v1", one.batch_id)]


def _stored(data_dir: Path, one: Answered) -> Sequence[str]:
    return [fault for storage_id in one.items for fault in _text_missing(data_dir, storage_id)]


def _action(data_dir: Path, one: Answered) -> Sequence[str]:
    return _said(data_dir, ACTIONS[one.what], one.batch_id)


_CHECKS: Mapping[str, Callable[[Path, Answered], Sequence[str]]] = MappingProxyType(
    {"registered": _registered, "uploaded": _uploaded, "stored": _stored}
)


def _said(data_dir: Path, topic: str, batch_id: str) -> Sequence[str]:
    """Return a fault unless a message to this topic is in the outbox of its sender."""
    store = "files.db" if topic.startswith("huleedu.file.") else "bos.db"
    ((count,),) = _rows(
        data_dir / store,
        # A deployment may have a prefix before the names of its topics.
        "SELECT count(*) FROM outbox WHERE topic LIKE '%' || ? AND key = ?",
        *(topic, batch_id.encode()),
    )
    return [] if count else [f"no message to {topic}"]


def _text_missing(data_dir: Path, storage_id: str) -> Sequence[str]:
    rows = _rows(
        data_dir / "content.db", "SELECT bytes FROM content WHERE storage_id = ?", storage_id
    )
    return [] if len(rows) == 1 and rows[0][0] else [f"no text {storage_id}"]


def _rows(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()
