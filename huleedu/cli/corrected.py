"""Corrected texts and their logs, out of a batch's archive and into a folder."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import EssayFile, output_stems
from huleedu.cli.output import tell
from huleedu.core.errors import PeerUnavailable

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")


class _Correction(msgspec.Struct, frozen=True):
    correction: str | None


class _Log(msgspec.Struct, frozen=True):
    essay_id: str
    corrections: Sequence[_Correction]


@dataclass(frozen=True)
class Corrected:
    """The corrected text of one essay (UTF-8) and its processing log (JSON)."""

    text: bytes
    log: bytes
    words: int
    corrections: int
    flagged: int
    """Words that were marked but not changed."""


def read_archive(archive: bytes) -> Mapping[str, Corrected]:
    """Return what a batch's archive holds, by essay id.

    Raises ``PeerUnavailable`` when it is not one, or not complete.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names = [name for name in opened.namelist() if name.endswith(".json")]
            pairs = [_pair(opened, name) for name in names]
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as error:
        raise PeerUnavailable(f"the archive of the corrected texts is damaged: {error}") from error
    return dict(pairs)


def _pair(archive: zipfile.ZipFile, log_name: str) -> tuple[str, Corrected]:
    log = archive.read(log_name)
    text = archive.read(str(PurePosixPath(log_name).with_suffix(".txt")))
    told = msgspec.json.decode(log, type=_Log)
    flagged = sum(one.correction is None for one in told.corrections)
    words = len(_WORD.findall(text.decode("utf-8", "replace")))
    made = len(told.corrections) - flagged
    return told.essay_id, Corrected(text, log, words, made, flagged)


@dataclass(frozen=True)
class Target:
    """Where the corrected text and the log of one file go."""

    text: Path
    log: Path


def plan_targets(files: Sequence[EssayFile], folder: Path) -> Sequence[Target]:
    """Return where each file's outputs go: ``NAME.txt`` and ``NAME.json``, no two the same.

    Raises ``WrongUse`` when an output would take the place of one of the files themselves, or
    the folder cannot be made.
    """
    stems = output_stems([file.name for file in files])
    targets = [Target(folder / f"{stem}.txt", folder / f"{stem}.json") for stem in stems]
    inputs = {file.path.resolve() for file in files}
    for target in targets:
        if target.text.resolve() in inputs:
            raise WrongUse(
                f"{target.text} is one of the essays and would be overwritten by its correction. "
                "Choose another folder with --out."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"cannot make the folder {folder}: {error.strerror}.") from error
    return targets


def write(corrected: Corrected, target: Target) -> bool:
    """Write both files; return whether an earlier one was replaced.

    Raises ``WrongUse`` when they cannot be written.
    """
    replaced = target.text.exists() or target.log.exists()
    try:
        target.text.write_bytes(corrected.text)
        target.log.write_bytes(corrected.log + b"\n")
    except OSError as error:
        raise WrongUse(f"cannot write {error.filename}: {error.strerror}.") from error
    return replaced


def tell_written(written: Sequence[tuple[EssayFile, Target]], replaced: int) -> None:
    """Say where the files went, which of them had to be numbered, and how many were replaced."""
    if not written:
        return
    for file, target in written:
        if target.text.stem != file.path.stem:
            tell(f"{file.path} is not the only one of its name: written as {target.text}.")
    again = f" {replaced} of them had been there and were replaced." if replaced else ""
    folder = written[0][1].text.parent
    tell(f"Wrote the corrected texts and logs of {len(written)} essays to {folder}.{again}")
