"""Where each setting's value comes from.

Command line > environment with the module's prefix > plain environment > file > default.  A value
given anywhere must be right, even where a stronger source hides it; every fault is told at once.
"""

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import Section, Settings
from huleedu.core.settings_keys import KEYS, MODULE_PREFIXES, OWN_PREFIX, SECTIONS, Key

DEFAULT_FILE = Path("config/huleedu.toml")
# Names of ours in the environment that are no settings of the running program.
_NAMES_ELSEWHERE = frozenset({"HULEEDU_CACHE_DIR", "HULEEDU_SERVER"})


@dataclass(frozen=True)
class LoadedSettings:
    """The settings, and why they are as they are."""

    settings: Settings
    """Complete: what a module inherits from the process is filled in."""
    origins: Mapping[str, str]
    """Dotted key → "command line --port", "environment NAME", "file PATH" or "default"."""
    notes: tuple[str, ...] = ()
    """What was given and does not apply, to be logged as a warning."""


@dataclass(frozen=True)
class _Given:
    """A value that a source has for a key."""

    key: Key  # where the value stands, which may be the process's key instead of the module's
    value: object
    origin: str
    strict: bool


def load_settings(
    command_line: Mapping[str, object],
    environment: Mapping[str, str],
    config_file: Path | None,
    *,
    modules: Collection[str] = tuple(MODULE_PREFIXES),
) -> LoadedSettings:
    """Return the settings of a process that runs ``modules``.

    ``command_line`` maps dotted keys to values, None for an option that was not given.  Without
    ``config_file`` the file is ``config/huleedu.toml`` below the working directory, if it is
    there.  An empty variable counts as unset.  ``DATABASE_PATH`` applies to a process of one
    module only, since modules never share a file.

    Raises ``Misconfigured`` that lists every fault, one a line: unknown keys, and values that are
    not allowed, with where each came from and what is allowed instead.
    """
    for dotted in command_line:
        assert dotted in KEYS, f"the command line sets {dotted}, which is no setting"
    file, file_name, faults = _read_file(config_file)
    environment = {name: text for name, text in environment.items() if text}
    faults += _unknown_names(environment)
    sources = _Sources(command_line, environment, file, file_name, modules)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for key in KEYS.values():
        values[key.dotted], origins[key.dotted] = _default(key)
        # The strongest comes last and stays.
        for given in reversed(list(sources.of(key))):
            try:
                values[key.dotted] = key.convert(given.value, strict=given.strict)
                origins[key.dotted] = given.origin
            except msgspec.ValidationError:
                faults.append(_not_allowed(given))
    if faults:
        raise Misconfigured("\n".join(dict.fromkeys(faults)))
    return LoadedSettings(_assembled(values), origins, sources.notes())


def shown(loaded: LoadedSettings) -> list[tuple[str, object, str]]:
    """Return key, value and origin of every setting, secrets masked; paths are text."""
    lines = []
    for key in KEYS.values():
        holder: Any = getattr(loaded.settings, key.section) if key.section else loaded.settings
        value = key.shown(getattr(holder, key.name))
        lines.append((key.dotted, value, loaded.origins[key.dotted]))
    return lines


@dataclass(frozen=True)
class _Sources:
    """All that was given, by whom."""

    command_line: Mapping[str, object]
    environment: Mapping[str, str]
    file: Mapping[str, object]
    file_name: str
    modules: Collection[str]

    def of(self, key: Key) -> Iterator[_Given]:
        """Yield what the sources have for ``key``, the strongest first."""
        for dotted in (key.dotted, key.option_key):
            if dotted is not None and self.command_line.get(dotted) is not None:
                option = "--" + dotted.replace(".", "-").replace("_", "-")
                value = self.command_line[dotted]
                yield _Given(KEYS[dotted], value, f"command line {option}", strict=False)
        for name, source in self._names(key):
            if name in self.environment:
                yield _Given(source, self.environment[name], f"environment {name}", strict=False)
        for dotted in (key.dotted, key.process_key):
            if dotted is not None and dotted in self.file:
                value = self.file[dotted]
                yield _Given(KEYS[dotted], value, f"file {self.file_name}", strict=True)

    def _names(self, key: Key) -> Iterator[tuple[str, Key]]:
        process = KEYS[key.process_key] if key.process_key is not None else key
        yield from ((name, key) for name in key.own_names)
        if process is not key:
            yield from ((name, process) for name in process.own_names)
        yield from ((name, process) for name in key.plain_names)
        if key.name == "database_path" and list(self.modules) == [key.section]:
            yield "DATABASE_PATH", key

    def notes(self) -> tuple[str, ...]:
        """Return what was given and does not apply."""
        if "DATABASE_PATH" in self.environment and len(self.modules) != 1:
            return (
                "environment DATABASE_PATH is ignored: this process runs several modules, and "
                "modules never share a file",
            )
        return ()


def _read_file(config_file: Path | None) -> tuple[dict[str, object], str, list[str]]:
    """Return the file's values by dotted key, its name, and its unknown keys as faults."""
    path = config_file or DEFAULT_FILE
    if config_file is None and not path.exists():
        return {}, "", []
    try:
        with path.open("rb") as opened:
            tables = tomllib.load(opened)
    except OSError as error:
        raise Misconfigured(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the settings file {path} is not TOML: {error}") from error
    values: dict[str, object] = {}
    faults = []
    for name, value in tables.items():
        if name in SECTIONS and not isinstance(value, dict):
            faults.append(f"file {path}: {name} must be a table, [{name}]")
        elif isinstance(value, dict):
            values |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            values[name] = value
    faults += [
        f"file {path}: {dotted} is no setting{_meant(dotted, KEYS)}"
        for dotted in values
        if dotted not in KEYS
    ]
    return values, str(path), faults


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    known = {name for key in KEYS.values() for name in key.own_names} | _NAMES_ELSEWHERE
    return [
        f"environment {name}: is no setting{_meant(name, known)}"
        for name in environment
        if name.startswith(OWN_PREFIX) and name not in known
    ]


def _meant(wrong: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.75)
    return f"; is {near[0]} meant?" if near else ""


def _not_allowed(given: _Given) -> str:
    value = "***" if given.key.is_secret else repr(given.key.shown(given.value))
    return f"{given.origin}: {given.key.dotted} = {value}; allowed is {given.key.allowed()}"


def _default(key: Key) -> tuple[object, str]:
    if key.default is None and key.process_key is not None:
        return KEYS[key.process_key].default, "default"
    return key.default, "default"


def _assembled(values: Mapping[str, object]) -> Settings:
    parts: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        if field.name in SECTIONS:
            kind: type[Section] = field.type
            names = [one.name for one in msgspec.structs.fields(kind)]
            parts[field.name] = kind(**{name: values[f"{field.name}.{name}"] for name in names})
        else:
            parts[field.name] = values[field.name]
    return Settings(**parts)
