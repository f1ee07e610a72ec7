"""The settings of a command: from its options, the environment, the file and the defaults."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from huleedu.core.settings import Settings
from huleedu.core.settings_sources import LoadedSettings, load_settings

SERVER_VARIABLE = "HULEEDU_SERVER"
"""Where the client commands find a server; no setting of the program that serves."""


def load(command_line: Mapping[str, object], config_file: Path | None) -> LoadedSettings:
    """Return the settings and why they are as they are.  Raises ``Misconfigured``."""
    environment = {name: text for name, text in os.environ.items() if name != SERVER_VARIABLE}
    return load_settings(command_line, environment, config_file)


def with_fitting_logs(loaded: LoadedSettings) -> Settings:
    """Return the settings; where nobody chose, logs are for people on a terminal, else JSON."""
    settings = loaded.settings
    if loaded.origins["log_format"] != "default":
        return settings
    form = "console" if sys.stderr.isatty() else "json"
    return msgspec.structs.replace(settings, log_format=form)
