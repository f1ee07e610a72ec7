"""The checkers, loaded once, and where the lists are that they are measured on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from huleedu.core.enums import Language
from huleedu.spellcheck.checker import Checker, load_checker

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def checkers() -> Mapping[Language, Checker]:
    """The checker of each language; ``make setup`` has built their indexes."""
    return {language: load_checker(language) for language in Language}


@pytest.fixture(scope="session")
def english(checkers: Mapping[Language, Checker]) -> Checker:
    return checkers[Language.ENGLISH]


@pytest.fixture(scope="session")
def swedish(checkers: Mapping[Language, Checker]) -> Checker:
    return checkers[Language.SWEDISH]
