"""The files that a command is given, and the names of what is written for each of them."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huleedu.cli.failures import WrongUse
from huleedu.cli.output import tell

ENDINGS = frozenset({".txt", ".docx"})
"""Taken from a folder, in any case of letters; a file that is named itself is always taken."""

LEFT_OUT_SHOWN_MAX = 5


@dataclass(frozen=True)
class EssayFile:
    """A file with an essay in it, presumably."""

    path: Path
    size: int
    """Bytes."""

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.path.name


@dataclass(frozen=True)
class Inputs:
    """What there is to work on."""

    files: Sequence[EssayFile]
    unreadable: Sequence[tuple[Path, str]]
    """Files that cannot be opened, each with the reason."""
    left_out: Sequence[Path]
    """What folders hold besides essays; hidden files are not worth a word."""


def gather(paths: Sequence[Path]) -> Inputs:
    """Return the files named, and those of the folders named, each once and in order.

    Raises ``WrongUse`` for a path that does not exist, a folder that cannot be listed, and when
    no file at all is left.
    """
    files: list[EssayFile] = []
    unreadable: list[tuple[Path, str]] = []
    left_out: list[Path] = []
    seen: set[Path] = set()
    for path in _each_file(paths, left_out):
        try:
            resolved = path.resolve(strict=True)
            if resolved in seen:
                continue
            seen.add(resolved)
            with path.open("rb") as opened:
                opened.read(1)
            files.append(EssayFile(path, path.stat().st_size))
        except OSError as error:
            unreadable.append((path, f"cannot be opened: {error.strerror}"))
    if not files and not unreadable:
        raise WrongUse(
            f"there is no essay in {', '.join(map(str, paths))}: "
            f"no file ends in {' or '.join(sorted(ENDINGS))}. Name the files themselves."
        )
    return Inputs(files, unreadable, left_out)


def _each_file(paths: Sequence[Path], left_out: list[Path]) -> Iterable[Path]:
    for path in paths:
        if not path.exists():
            raise WrongUse(f"there is no file or folder {path}.")
        if not path.is_dir():
            yield path
            continue
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            raise WrongUse(f"the folder {path} cannot be read: {error.strerror}.") from error
        for one in inside:
            if one.name.startswith((".", "~$")):  # hidden, or Word's mark of an open document
                continue
            if one.suffix.lower() in ENDINGS and one.is_file():
                yield one
            else:
                left_out.append(one)


def tell_left_out(left_out: Sequence[Path]) -> None:
    """Say which files of a folder were not taken for essays."""
    if not left_out:
        return
    names = ", ".join(path.name for path in left_out[:LEFT_OUT_SHOWN_MAX])
    more = len(left_out) - LEFT_OUT_SHOWN_MAX
    tell(f"Left out, since not .txt or .docx: {names}{f' and {more} more' if more > 0 else ''}.")


def output_stems(names: Sequence[str]) -> Sequence[str]:
    """Return for each file name its stem, numbered where two would be the same file.

    ``a.txt``, ``a.docx`` give ``a``, ``a (2)``.  Upper and lower case are the same file on some
    systems, and so are composed and decomposed letters.
    """
    stems = [Path(name).stem for name in names]
    taken = {_key(stem) for stem in stems}
    given: set[str] = set()
    result = []
    for stem in stems:
        chosen, number = stem, 1
        while _key(chosen) in given or (number > 1 and _key(chosen) in taken):
            number += 1
            chosen = f"{stem} ({number})"
        given.add(_key(chosen))
        result.append(chosen)
    return result


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
