"""What a disk holds after a loss of power: what was synced, and by chance some of the rest.

Pure.  The model is the one that SQLite asks for: bytes are kept once their file was synced, and the
name of a file once its directory was.  Whatever was written since may be there, in parts or not
at all, in sectors of 512 bytes; a write damages nothing beside it.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from random import Random

SECTOR_BYTES = 512
_HEAD = struct.Struct("<cQQI")
ANSWER = "A"
"""The kind of a record by which a client notes what it was answered."""


@dataclass(frozen=True)
class Record:
    """One thing that happened, as ``recorder.c`` describes it."""

    kind: str
    file: int
    offset: int
    data: bytes

    def encoded(self) -> bytes:
        """Return it as it stands in a recording."""
        head = _HEAD.pack(self.kind.encode(), self.file, self.offset, len(self.data))
        return head + self.data


def records_in(recording: bytes) -> Iterator[Record]:
    """Return what was recorded, in its order."""
    at = 0
    while at < len(recording):
        kind, file, offset, length = _HEAD.unpack_from(recording, at)
        at += _HEAD.size
        yield Record(kind.decode(), file, offset, recording[at : at + length])
        at += length


@dataclass
class _File:
    synced: bytes = b""
    since: list[Record] = field(default_factory=list)

    def sync(self) -> None:
        self.synced, self.since = _written(self.synced, self.since), []

    def left(self, chance: Random | None) -> bytes:
        if chance is None:
            return self.synced
        return _written(self.synced, [part for one in self.since for part in _kept(one, chance)])


_DIRECTORY = _File()
_Entry = tuple[str, _File | None]
"""A path and what it names from then on; None: nothing."""


class Disk:
    """Takes records one after another; at any moment the power may be lost."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, _File] = {}
        self._entries: dict[str, _File] = {}
        self._unsynced: list[_Entry] = []

    def apply(self, record: Record) -> None:
        """Take what happened next."""
        match record.kind:
            case "W" | "T":
                self._files[record.file].since.append(record)
            case "S":
                self._files[record.file].sync()
            case "C":
                self._files[record.file] = _File()
                self._name(record.data.decode(), self._files[record.file])
            case "M":
                self._name(record.data.decode(), _DIRECTORY)
            case "U":
                self._name(record.data.decode(), None)
            case "R" | "L":
                old, new = record.data.decode().split("\0")
                self._name(new, self._names[old])
                if record.kind == "R":
                    self._name(old, None)
            case "D":
                directory = record.data.decode()
                done = [entry for entry in self._unsynced if _parent(entry[0]) == directory]
                self._unsynced = [one for one in self._unsynced if one not in done]
                self._entries = _named(self._entries, done)

    def left(self, root: str, chance: Random | None = None) -> Mapping[str, bytes]:
        """Return path → content of what is there when the power comes back.

        ``chance`` decides what is kept of that which was not synced; None: nothing is.
        """
        more = 0 if chance is None else chance.randint(0, len(self._unsynced))
        entries = _named(self._entries, self._unsynced[:more])
        return {
            path: file.left(chance)
            for path, file in entries.items()
            if file is not _DIRECTORY and _is_reachable(path, root, entries)
        }

    def _name(self, path: str, file: _File | None) -> None:
        self._names = _named(self._names, [(path, file)])
        self._unsynced.append((path, file))


def _named(entries: Mapping[str, _File], changes: Sequence[_Entry]) -> dict[str, _File]:
    changed = dict(entries)
    for path, file in changes:
        if file is None:
            changed.pop(path, None)
        else:
            changed[path] = file
    return changed


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _is_reachable(path: str, root: str, entries: Mapping[str, _File]) -> bool:
    parent = _parent(path)
    return parent == root or (
        entries.get(parent) is _DIRECTORY and _is_reachable(parent, root, entries)
    )


def _kept(record: Record, chance: Random) -> Sequence[Record]:
    """Return what of a write or a truncation reached the disk: all, some sectors, or nothing."""
    fate = chance.random()
    if fate < 0.4:
        return [record]
    if fate < 0.7 or record.kind == "T":
        return []
    return [part for part in _sectors(record) if chance.random() < 0.5]


def _sectors(record: Record) -> Iterator[Record]:
    at, end = record.offset, record.offset + len(record.data)
    while at < end:
        until = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        data = record.data[at - record.offset : until - record.offset]
        yield Record("W", record.file, at, data)
        at = until


def _written(content: bytes, changes: Sequence[Record]) -> bytes:
    held = bytearray(content)
    for change in changes:
        if change.kind == "T":
            del held[change.offset :]
            held.extend(bytes(change.offset - len(held)))
        else:
            end = change.offset + len(change.data)
            held.extend(bytes(max(0, end - len(held))))
            held[change.offset : end] = change.data
    return bytes(held)
