"""Every setting as a dotted key: its type, its default, and the names it has outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from huleedu.core.settings import Section, Settings

MODULE_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "bos": "BATCH_ORCHESTRATOR_SERVICE_",
        "els": "ESSAY_LIFECYCLE_SERVICE_",
        "content": "CONTENT_SERVICE_",
        "files": "FILE_SERVICE_",
        "spellcheck": "SPELL_CHECKER_SERVICE_",
        "results": "RESULTS_SERVICE_",
    }
)
"""Section of the settings → prefix of its names in the environment, as the contract has them."""

OWN_PREFIX = "HULEEDU_"

# A module's key → the key of the whole process that stands in for it, in every source.
_INHERITED = {
    "log_level": "log_level",
    "environment": "environment",
    "http_host": "host",
    "prometheus_port": "prometheus_port",
    "kafka_bootstrap_servers": "kafka_bootstrap_servers",
    "content_service_url": "content_service_url",
    "essay_lifecycle_service_url": "essay_lifecycle_service_url",
}
_PLAIN_NAMES = {
    "log_level": "LOG_LEVEL",
    "environment": "ENV_TYPE",
    "prometheus_port": "PROMETHEUS_PORT",
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "content_service_url": "CONTENT_SERVICE_URL",
    "essay_lifecycle_service_url": "ESSAY_LIFECYCLE_SERVICE_URL",
}
_SECRETS = frozenset({"role_secret", "kafka.sasl_password"})


@dataclass(frozen=True)
class Key:
    """One setting."""

    dotted: str
    """As in the settings file: ``port``, ``limits.file_bytes``, ``bos.http_port``."""
    section: str
    """The table of the file; empty for the top."""
    name: str
    type: Any
    default: object

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.dotted in _SECRETS

    @property
    def process_key(self) -> str | None:
        """The key of the whole process that applies where a module has no value of its own."""
        return _INHERITED.get(self.name) if self.section in MODULE_PREFIXES else None

    @property
    def option_key(self) -> str | None:
        """The key whose option on the command line goes before everything else."""
        if self.section in MODULE_PREFIXES and self.name == "http_port":
            return "port"  # --port is meant for the process at hand, whatever it runs
        return self.process_key

    @property
    def own_names(self) -> tuple[str, ...]:
        """Its names in the environment, the strongest first."""
        if self.section not in MODULE_PREFIXES:
            return (OWN_PREFIX + self.dotted.replace(".", "_").upper(),)
        prefix = MODULE_PREFIXES[self.section]
        names = (prefix + self.name.upper(),)
        return (*names, prefix + "PORT") if self.dotted == "bos.http_port" else names

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Names without prefix that stand in when none of its own is set."""
        if self.section == "kafka":
            return ("KAFKA_" + self.name.upper(),)
        plain = _PLAIN_NAMES.get(self.name)
        return () if plain is None or self.section == "limits" else (plain,)

    def shown(self, value: object) -> object:
        """Return ``value`` for a reader: paths as text, secrets as stars."""
        if self.is_secret:
            return "***" if value else ""
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, str) and self.name.endswith("_url"):
            return _without_password(value)
        return value

    def allowed(self) -> str:
        """Say in words which values it takes."""
        return _in_words(msgspec.inspect.type_info(self.type))

    def convert(self, value: object, *, strict: bool) -> object:
        """Return ``value`` in the setting's type; not ``strict``: from text too.

        Raises ``msgspec.ValidationError``.
        """
        if self.name == "log_level" and isinstance(value, str):
            value = value.upper()
        return msgspec.convert(value, self.type, strict=strict, dec_hook=_to_path)


def _to_path(_type: type, value: object) -> Path:
    if isinstance(value, str | Path) and str(value):
        return Path(value).expanduser()
    raise ValueError("not a path")


def _in_words(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.UnionType():
            (member,) = [one for one in kind.types if not _is_none(one)]
            words = _in_words(member)
        case msgspec.inspect.IntType():
            words = "a whole number" + _range(kind)
        case msgspec.inspect.FloatType():
            words = "a number" + _range(kind)
        case msgspec.inspect.LiteralType():
            words = "one of " + ", ".join(str(value) for value in kind.values)
        case msgspec.inspect.BoolType():
            words = "true or false"
        case msgspec.inspect.CustomType():
            words = "a path"
        case _:
            words = "text"
    return words


def _is_none(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind, msgspec.inspect.NoneType)


def _range(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    bounds = [
        f"{word} {bound:,}".replace(",", "_")
        for word, bound in (("at least", kind.ge), ("over", kind.gt), ("at most", kind.le))
        if bound is not None
    ]
    return ", " + " and ".join(bounds) if bounds else ""


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # not a URL; who uses it will say so
        return url
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.hostname}:{parts.port}").geturl()


def _keys() -> dict[str, Key]:
    found: dict[str, Key] = {}
    for top in msgspec.structs.fields(Settings):
        if isinstance(top.type, type) and issubclass(top.type, Section):
            for field in msgspec.structs.fields(top.type):
                dotted = f"{top.name}.{field.name}"
                found[dotted] = Key(dotted, top.name, field.name, field.type, field.default)
        else:
            found[top.name] = Key(top.name, "", top.name, top.type, top.default)
    return found


KEYS: Mapping[str, Key] = MappingProxyType(_keys())
"""Dotted key → setting, in the order of ``Settings``."""
SECTIONS: frozenset[str] = frozenset(key.section for key in KEYS.values() if key.section)
