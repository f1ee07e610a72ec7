"""What the consumers of spell-check requests need of a checker."""

from typing import Protocol

from huleedu.core.enums import Language
from huleedu.spellcheck.model import CheckedText


class TextChecker(Protocol):
    """Checks one text after another, or several at once."""

    async def check(self, text: str, language: Language) -> CheckedText:
        """Return the checked text.

        Raises ``CheckFailed`` when this text cannot be checked (final for the text),
        ``TooLarge`` when it is over the limit, ``Unavailable`` when trying again may help.
        """
        ...
