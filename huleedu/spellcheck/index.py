"""The index of each language as a file: built once a user, kept in a cache directory.

The file's name holds a digest of all that the index depends on, so that another version of a
dictionary or of a library leads to another file.  A damaged file is built anew.
``python -m huleedu.spellcheck.index`` builds what is missing.
"""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import msgspec

from huleedu.core.enums import Language
from huleedu.core.errors import HuleEduError, Misconfigured
from huleedu.spellcheck import word_index
from huleedu.spellcheck.dictionary import Dictionary, dictionary_digest
from huleedu.spellcheck.word_index import Index, Progress

FORMAT = 1
"""Raised with every change to what :mod:`huleedu.spellcheck.word_index` writes or chooses."""

_DIGEST_BYTES = 32

Build: TypeAlias = Callable[[Dictionary, Progress], Index]


def load(
    dictionary: Dictionary,
    *,
    progress: Progress | None = None,
    directory: Path | None = None,
    build: Build = word_index.build,
) -> Index:
    """Return the index of the dictionary's language; loading takes well under a second.

    Where it is missing or damaged it is built first, 10-40 s of one core, while other processes
    that want it wait; ``progress`` hears of it, a line of text at a time.  ``directory`` is where
    indexes are kept, :func:`cache_directory` when left out; ``build`` makes an index.

    Raises ``Misconfigured`` when the directory cannot be read or written.
    """
    path = index_path(dictionary.language, directory)
    loaded = _read(path)
    return (
        loaded
        if loaded is not None
        else _build_once(path, lambda: build(dictionary, progress or _silent), progress or _silent)
    )


def cache_directory() -> Path:
    """Return where indexes are kept: HULEEDU_CACHE_DIR, else ``huleedu`` in the user's cache."""
    own = os.environ.get("HULEEDU_CACHE_DIR")
    if own:
        return Path(own)
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "huleedu"


def index_path(language: Language, directory: Path | None = None) -> Path:
    """Return the file of the language's index, whether it is there or not."""
    depends_on = (
        str(FORMAT),
        dictionary_digest(language),
        *(f"{package} {version(package)}" for package in ("chunspell", "symspellpy", "wordfreq")),
    )
    digest = hashlib.blake2b("\n".join(depends_on).encode(), digest_size=8).hexdigest()
    return (directory or cache_directory()) / f"spelling-{language.value}-{digest}.index"


def _read(path: Path) -> Index | None:
    """Return the index, or None when it is not there or not as it was written."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable("read", path, error) from error
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest() != digest:
        return None
    try:
        return word_index.decode(payload)
    except msgspec.DecodeError:
        return None


def _build_once(path: Path, build: Callable[[], Index], progress: Progress) -> Index:
    with _locked(path, progress):
        loaded = _read(path)  # another process may have been faster
        if loaded is not None:
            return loaded
        built = build()
        payload = built.encode()
        _write(path, hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest() + payload)
        progress(f"wrote {path} ({len(payload) / 1e6:.0f} MB)")
        return built


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the language's lock, which the system frees when its holder ends in whatever way."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise _unusable("write", path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that builds {path.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Put the file in its place whole, or not at all."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise _unusable("write", path, error) from error


def _unusable(act: str, path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(
        f"cannot {act} the spelling index {path}: {error}; set HULEEDU_CACHE_DIR to a directory "
        "that can be written"
    )


def _silent(_line: str) -> None:
    pass


def main() -> int:
    """Build the indexes that are missing; return the exit code."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the command's output

    for language in Language:
        started = time.monotonic()
        try:
            loaded = load(Dictionary(language), progress=say)
            size = index_path(language).stat().st_size
        except HuleEduError as error:
            say(str(error))
            return error.exit_code
        seconds = time.monotonic() - started
        say(f"{language}: {len(loaded):,} words, {size / 1e6:.0f} MB, ready in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
