"""Course codes and the language of their essays, from ``courses.toml``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured

COURSES_FILE = Path("config/courses.toml")
_PACKAGE = Path(__file__).resolve().parent.parent
# The wheel carries the file inside the package; a checkout has it beside the package.
_SHIPPED = (_PACKAGE / COURSES_FILE, _PACKAGE.parent / COURSES_FILE)


def load_courses(path: Path | None) -> Mapping[str, Language]:
    """Return course code → language from ``path``.

    None: ``config/courses.toml`` below the working directory, else the table that comes with the
    program.  Raises ``Misconfigured`` that lists every fault of the table.
    """
    found = path or _first_there(COURSES_FILE, *_SHIPPED)
    try:
        with found.open("rb") as opened:
            tables = tomllib.load(opened)
    except OSError as error:
        raise Misconfigured(f"cannot read the courses file {found}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the courses file {found} is not TOML: {error}") from error
    courses = tables.pop("courses", None)
    if tables or not isinstance(courses, dict) or not courses:
        raise Misconfigured(
            f'the courses file {found} must have one table, [courses], of lines like ENG5 = "en"'
        )
    languages = {language.value for language in Language}
    faults = [
        f"{code} = {language!r}"
        for code, language in courses.items()
        if not isinstance(language, str) or language not in languages or not code.strip()
    ]
    if faults:
        raise Misconfigured(
            f"the courses file {found} has {', '.join(faults)}; "
            f"a language is one of {', '.join(sorted(languages))}"
        )
    return MappingProxyType({code: Language(language) for code, language in courses.items()})


def _first_there(*paths: Path) -> Path:
    return next((path for path in paths if path.is_file()), paths[-1])
