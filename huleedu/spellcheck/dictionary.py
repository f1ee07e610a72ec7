"""The hunspell dictionaries: which words are spelt as some dictionary has them."""

import hashlib
from functools import cache
from pathlib import Path

import hunspell

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured

DIRECTORY = Path(__file__).parent / "dictionaries"
"""Filled by ``hatch_build.py`` when the package is built or installed in place."""

NAMES = {Language.SWEDISH: ("sv_SE",), Language.ENGLISH: ("en_US", "en_GB")}

WORD_LETTERS_MAX = 64
"""Longer words are not looked up (hunspell itself refuses more than 100 letters)."""

# Words that a dictionary holds (a calender presses cloth) and that a pupil never means.
ACCEPTED_BUT_WRONG = {
    Language.SWEDISH: frozenset[str](),
    Language.ENGLISH: frozenset({"calender", "calenders", "incidently"}),
}

# Right, and in no dictionary in this form.
ALSO_RIGHT = {
    Language.SWEDISH: frozenset({"etc", "osv", "ok"}),
    Language.ENGLISH: frozenset({"etc", "ok", "c'mon", "'em", "'til"}),
}


class Dictionary:
    """The dictionaries of one language; a word that any of them has is accepted."""

    def __init__(self, language: Language) -> None:
        """Load them.  Raises ``Misconfigured`` when their files are missing."""
        self.language = language
        self._right = ALSO_RIGHT[language]
        self._wrong = ACCEPTED_BUT_WRONG[language]
        self._parts: list[hunspell.Hunspell] = []
        for path in dictionary_files(language):
            if path.suffix == ".dic":
                part = hunspell.Hunspell(path.stem, hunspell_data_dir=str(path.parent))
                self._parts.append(part)

    def accepts(self, word: str) -> bool:
        """Tell whether ``word`` (NFC, straight apostrophes, its own capitals) is spelt right.

        A word longer than ``WORD_LETTERS_MAX`` is not.
        """
        lower = word.lower()
        if len(word) > WORD_LETTERS_MAX or lower in self._wrong:
            return False
        if lower in self._right:
            return True
        return any(part.spell(word) for part in self._parts)


def dictionary_files(language: Language) -> tuple[Path, ...]:
    """Return the .aff and .dic files of a language, in the order in which they are asked.

    Raises ``Misconfigured`` when one is missing.
    """
    files = tuple(
        DIRECTORY / f"{name}{suffix}" for name in NAMES[language] for suffix in (".aff", ".dic")
    )
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise Misconfigured(
            f"no dictionary {', '.join(missing)} in {DIRECTORY}: install the package anew "
            "(pip install --no-deps --no-build-isolation -e .)"
        )
    return files


@cache
def dictionary_digest(language: Language) -> str:
    """Return a digest of everything that decides which words are accepted."""
    digest = hashlib.blake2b(digest_size=16)
    for path in dictionary_files(language):
        digest.update(path.read_bytes())
    for own in ACCEPTED_BUT_WRONG[language], ALSO_RIGHT[language]:
        digest.update("\n".join(sorted(own)).encode())
    return digest.hexdigest()
