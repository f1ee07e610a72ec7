"""Which file is whose essay: decided from names and contents alone.

1. A file whose essay was named beside it (its explicit essay id) belongs there.
2. Else a file whose stem equals an essay id belongs there: ``essay-7.docx`` → ``essay-7``.  Equal
   letter for letter if there is such an id, else regardless of case if only one is equal so.
3. Else a text that some essay has already is a repeat and changes nothing.
4. Else the file takes the first essay, in the order of registration, that has no text yet.

Files with a named essay are placed before the others, so that their order in a request does not
matter.  A named essay gets its file even if another essay has the same text: two students may hand
in the same words.  Of two files in one request that name the same essay with different texts, only
the first is taken (explicit ids before stems) and the other one is told: which of them is meant,
only the sender knows, and neither is lost silently.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from huleedu.files.file_names import clean_file_name, stem_of

_IDS_SHOWN_MAX = 5
_ID_LENGTH_MAX = 128  # the contract's bound on an essay id


class Upload(msgspec.Struct, frozen=True):
    """One file of a request; ``storage_id`` follows from its text: equal texts, equal ids."""

    name: str
    storage_id: str
    essay_id: str | None = None


class Assigned(msgspec.Struct, frozen=True):
    """The file is the first text of this essay."""

    essay_id: str


class Replaced(msgspec.Struct, frozen=True):
    """The file takes the place of another text of this essay."""

    essay_id: str
    previous_storage_id: str


class Unchanged(msgspec.Struct, frozen=True):
    """This essay has this very text already."""

    essay_id: str


class MisfitReason(StrEnum):
    """The stable slug of each way in which a file can belong to no essay."""

    UNKNOWN_ESSAY = "unknown_essay"
    NAMED_TWICE = "named_twice"
    NO_PLACE = "no_place"


class Refused(msgspec.Struct, frozen=True):
    """The file belongs to no essay; ``error`` tells its sender why and what to do."""

    error: str
    reason: MisfitReason


Outcome = Assigned | Replaced | Unchanged | Refused


def match_files(
    registered: Sequence[str], taken: Mapping[str, str], uploads: Sequence[Upload]
) -> tuple[Outcome, ...]:
    """Return what becomes of each file, in the order of ``uploads``.

    ``registered`` are the batch's essay ids in the order of registration, ``taken`` the storage id
    of each essay that has a text.  Applying the outcomes in any order gives the same state.
    """
    places = _Places(registered, taken)
    named = {place: _named(upload, places) for place, upload in enumerate(uploads)}
    outcomes: dict[int, Outcome] = {}
    # Explicit ids, then stems, then the rest; sorting keeps the order of the request otherwise.
    by_precedence = sorted(
        named, key=lambda place: (not uploads[place].essay_id, named[place] is None)
    )
    for place in by_precedence:
        upload, essay_id = uploads[place], named[place]
        if essay_id is None:
            outcomes[place] = places.put_anywhere(upload)
        elif essay_id not in places:
            outcomes[place] = Refused(
                _unknown(upload, essay_id, registered), MisfitReason.UNKNOWN_ESSAY
            )
        else:
            outcomes[place] = places.put(upload, essay_id)
    return tuple(outcomes[place] for place in range(len(uploads)))


class _Places:
    """The essays of a batch while the files of one request are handed out."""

    def __init__(self, registered: Sequence[str], taken: Mapping[str, str]) -> None:
        self._registered = registered
        self._texts = {essay_id: taken.get(essay_id) for essay_id in registered}
        self._named_by: dict[str, Upload] = {}
        self._holders: dict[str, str] | None = None  # made once the named files have their place
        self._free: list[str] = []
        self._regardless_of_case = defaultdict[str, list[str]](list)
        for essay_id in registered:
            self._regardless_of_case[essay_id.casefold()].append(essay_id)

    def __contains__(self, essay_id: str) -> bool:
        return essay_id in self._texts

    def essay_named(self, stem: str) -> str | None:
        """Return the essay that a file's stem names, or ``None``."""
        if stem in self._texts:
            return stem
        alike = self._regardless_of_case.get(stem.casefold(), [])
        return alike[0] if len(alike) == 1 else None

    def put(self, upload: Upload, essay_id: str) -> Outcome:
        """Give the file the essay that it names."""
        other = self._named_by.setdefault(essay_id, upload)
        previous = self._texts[essay_id]
        if previous == upload.storage_id:
            return Unchanged(essay_id)
        if other is not upload:
            return Refused(_named_twice(upload, other, essay_id), MisfitReason.NAMED_TWICE)
        self._texts[essay_id] = upload.storage_id
        return Assigned(essay_id) if previous is None else Replaced(essay_id, previous)

    def put_anywhere(self, upload: Upload) -> Outcome:
        """Give the file the first free essay unless its text is here already."""
        if self._holders is None:
            self._holders = self._settle()
        if holder := self._holders.get(upload.storage_id):
            return Unchanged(holder)
        if not self._free:
            return Refused(_no_place(upload, len(self._registered)), MisfitReason.NO_PLACE)
        essay_id = self._free.pop()
        self._holders[upload.storage_id] = essay_id
        return Assigned(essay_id)

    def _settle(self) -> dict[str, str]:
        holders: dict[str, str] = {}
        for essay_id, storage_id in self._texts.items():
            if storage_id is not None:
                holders.setdefault(storage_id, essay_id)
        self._free = [essay for essay in reversed(self._texts) if self._texts[essay] is None]
        return holders


def _named(upload: Upload, places: _Places) -> str | None:
    return upload.essay_id or places.essay_named(stem_of(upload.name))


def _unknown(upload: Upload, essay_id: str, registered: Sequence[str]) -> str:
    ids = ", ".join(registered[:_IDS_SHOWN_MAX])
    if len(registered) > _IDS_SHOWN_MAX:
        ids += f" and {len(registered) - _IDS_SHOWN_MAX} more"
    return (
        f"“{clean_file_name(upload.name)}” was sent as essay “{_shown(essay_id)}”, which "
        f"this batch does not have. Its essays are: {ids}."
    )


def _shown(essay_id: str) -> str:
    printable = "".join(letter if letter.isprintable() else "�" for letter in essay_id)
    return printable if len(printable) <= _ID_LENGTH_MAX else f"{printable[:_ID_LENGTH_MAX]}…"


def _named_twice(upload: Upload, other: Upload, essay_id: str) -> str:
    return (
        f"“{clean_file_name(upload.name)}” and “{clean_file_name(other.name)}” are different texts "
        f"for the same essay, {essay_id}; only “{clean_file_name(other.name)}” was taken. "
        "If that is the wrong one, upload the right one by itself."
    )


def _no_place(upload: Upload, expected: int) -> str:
    if expected == 1:
        all_have_one = "this batch expects 1 essay, and it has a text"
    else:
        all_have_one = f"this batch expects {expected} essays, and all of them have a text"
    return (
        f"There is no place left for “{clean_file_name(upload.name)}”: {all_have_one}. "
        "To replace one, upload the file with that essay's id, or name the file after it."
    )
