"""The settings of a command: from its options, the environment, the file and the defaults."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from huleedu.core.settings_keys import MODULE_PREFIXES
from huleedu.core.settings_sources import LoadedSettings, load_settings

SERVER_VARIABLE = "HULEEDU_SERVER"
"""Where the client commands find a server; no setting of the program that serves."""


def load(
    command_line: Mapping[str, object],
    config_file: Path | None,
    modules: Collection[str] = tuple(MODULE_PREFIXES),
) -> LoadedSettings:
    """Return the settings of a process that runs ``modules``, and why they are as they are.

    Raises ``Misconfigured``.
    """
    environment = {name: text for name, text in os.environ.items() if name != SERVER_VARIABLE}
    return load_settings(command_line, environment, config_file, modules=modules)
