"""The names under which a server may be asked for: what the header Host of a request may say.

The page of another site can have its own name point to this machine (DNS rebinding).  To the
browser it then talks to itself, and may read every answer; only Host tells, as it carries the name.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.core.settings_keys import MODULE_PREFIXES

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?", re.ASCII)


class Host(NamedTuple):
    """What a header Host says: a name or address in its shortest form, and a port."""

    name: str
    port: int | None = None


LOOPBACK = frozenset({Host("127.0.0.1"), Host("localhost"), Host("::1")})


def host_in(text: str) -> Host | None:
    """Return what ``name``, ``name:port``, ``address`` or ``[v6]:port`` says; None for other text.

    Upper case is read as lower case.
    """
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    name, port = found[1], int(found[2]) if found[2] else None
    if name.startswith("["):
        address = _address(name[1:-1])
        return None if address is None else Host(address, port)
    return Host(name, port)


@dataclass(frozen=True)
class AllowedHosts:
    """Which hosts a server answers to; an entry without a port stands for every port."""

    entries: frozenset[Host] = LOOPBACK

    def allow(self, host: Host, local_address: str | None = None) -> bool:
        """Tell whether ``host`` may be asked for.

        So may the IP address that the connection came to, as a probe finds a pod.  That is safe: a
        page whose origin is an address was loaded from there, and only names can be pointed
        elsewhere.
        """
        if host in self.entries or Host(host.name) in self.entries:
            return True
        address = _address(host.name)
        return address is not None and address == _address(local_address or "")


def allowed_hosts(settings: Settings) -> AllowedHosts:
    """Return what the settings of a process allow.

    Loopback, ``allowed_hosts``, the addresses to listen on, and the hosts by which roles find one
    another.  Raises ``Misconfigured`` for an entry that is not ``host`` or ``host:port``.
    """
    modules: list[ModuleSettings] = [getattr(settings, name) for name in MODULE_PREFIXES]
    listening = {settings.host, *(one.http_host for one in modules)}
    urls = {settings.content_service_url, settings.essay_lifecycle_service_url}
    urls |= {url for one in modules if (url := one.content_service_url)}
    urls |= {url for one in modules if (url := one.essay_lifecycle_service_url)}
    return AllowedHosts(
        LOOPBACK
        | frozenset(_configured(settings.allowed_hosts))
        | {_any_port(name) for name in listening if name and not _is_any(name)}
        | {_any_port(name) for url in urls if (name := _host_of(url))}
    )


def _configured(text: str) -> Iterable[Host]:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host = host_in(entry)
        if host is None:
            raise Misconfigured(
                f"allowed_hosts names {entry!r}; expected host or host:port, as school.example or "
                "files:7001, and [::1] for an IPv6 address"
            )
        yield host


def _any_port(name: str) -> Host:
    return Host(_address(name) or name.lower())


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # not a URL; who uses it will say so
        return None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _is_any(name: str) -> bool:
    """Tell whether listening on this address is listening on every address of the machine."""
    address = _address(name)
    return address is not None and ipaddress.ip_address(address).is_unspecified
