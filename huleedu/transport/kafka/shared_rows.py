"""Up to which row the outbox that published and the outbox at hand are one: pure rules.

A broker remembers how far an outbox is published.  The file at hand may not be the one that was
published from: it was put back from a backup, or it or its like is a copy.  Both give the same row
ids to different rows from some row on.  What is known:

- A row that was in the backup, or in the copied file, and up to the position, is published, though
  the file at hand may hold it as unsent.  Purged rows do not matter for that.
- A row that was added since is not published, whatever its id.

What cannot be known, so that a row may be published twice (under one event id, by which readers
elsewhere drop it) and never none:

- where the two files have been opened more than ``OPENINGS_MAX`` times since they were one, or the
  broker has forgotten the position (some days after the last row, ``offsets.retention.minutes``);
- where a backup is older than the outbox's present id: rows that it holds as unsent may have been
  published under that id;
- whatever the other file has published beyond the common rows is said, and this file knows nothing
  of it: what follows from the same causes is said again.

And two things are not noticed as they should be: a position that an older program wrote names no
openings, so that it is believed if there was such a row; and a file that is overwritten in place
while a process has it open begins no opening.  Programs are to be stopped before that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from huleedu.store.outbox_identity import Opening


class Position(NamedTuple):
    """How far an outbox is published."""

    row_id: int
    """Of the last row."""
    openings: tuple[Opening, ...] | None = None
    """Of the file that it was published from; None: an older program did not tell."""


def shared_up_to(position: Position, ours: Sequence[Opening], last_id: int) -> int | None:
    """Return the last row up to ``position`` that the file at hand has, too; None: not known.

    ``last_id`` is the highest that it has given.
    """
    if position.row_id == 0:
        return 0  # an opening without rows gives way to the next one: there may be no common one
    if position.openings is None:
        return position.row_id if position.row_id <= last_id else None
    common = set(position.openings) & set(ours)
    if not common:
        return None
    begin = max(common).first_id
    apart = [one.first_id for one in (*position.openings, *ours) if one.first_id > begin]
    return min(position.row_id, last_id, *(first_id - 1 for first_id in apart))
