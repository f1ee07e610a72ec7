"""How to reach the broker: one description for every client that the program has."""

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiokafka.conn import collect_hosts
from aiokafka.helpers import create_ssl_context

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import KafkaSettings
from huleedu.transport.kafka import closed_connections

closed_connections.use_in_library()


@dataclass(frozen=True)
class KafkaConnection:
    """Where the brokers are, who asks, and how to prove it.

    The password is in no representation of it.  May be used by any number of clients.
    """

    bootstrap_servers: str
    """Brokers to start from: ``host:port,host:port``."""
    client_id: str = "huleedu"
    """What brokers call the client in logs, metrics and quotas."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def from_settings(
        cls, settings: KafkaSettings, bootstrap_servers: str, role: str
    ) -> "KafkaConnection":
        """Return the connection of the clients of a role; reads the certificates.

        Raises ``Misconfigured`` when the settings do not fit together or a file is of no use.
        """
        _check_servers(bootstrap_servers)
        _check_login(settings)
        return cls(
            bootstrap_servers=bootstrap_servers,
            security_protocol=settings.security_protocol,
            sasl_mechanism=settings.sasl_mechanism,
            sasl_username=settings.sasl_username,
            sasl_password=settings.sasl_password or None,
            ssl_context=_ssl_context(settings),
        ).of_role(role)

    def of_role(self, role: str) -> "KafkaConnection":
        """Return the same under the client id of a role, as ``huleedu-els-worker``."""
        return replace(self, client_id=f"huleedu-{role}")

    def client_options(self) -> dict[str, Any]:
        """Return the arguments that every client of aiokafka takes.

        ``api_version`` is not among them: it is deprecated, and the broker tells it.
        """
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }


def _check_servers(bootstrap_servers: str) -> None:
    try:
        hosts = [host for host, _, _ in collect_hosts(bootstrap_servers)]
    except ValueError as error:
        raise Misconfigured(
            f"kafka_bootstrap_servers = {bootstrap_servers!r}: {error}; allowed is "
            "host:port,host:port"
        ) from error
    if not all(hosts):
        raise Misconfigured(
            f"kafka_bootstrap_servers = {bootstrap_servers!r} leaves out a host; allowed is "
            "host:port,host:port"
        )


def _check_login(settings: KafkaSettings) -> None:
    given = {"sasl_username": settings.sasl_username, "sasl_password": settings.sasl_password}
    if settings.security_protocol.startswith("SASL_"):
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise Misconfigured(
                f"kafka.security_protocol = {settings.security_protocol} needs "
                f"{' and '.join(f'kafka.{name}' for name in missing)}"
            )
    elif any(given.values()):
        # Whoever gives a login means it to be asked for.
        raise Misconfigured(
            f"kafka.sasl_username or kafka.sasl_password is given, but kafka.security_protocol = "
            f"{settings.security_protocol} does not log in; use SASL_PLAINTEXT or SASL_SSL"
        )


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    files: dict[str, Path | None] = {
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }
    given = {name: path for name, path in files.items() if path is not None}
    if not settings.security_protocol.endswith("SSL"):
        if given:
            raise Misconfigured(
                f"kafka.{next(iter(given))} is given, but kafka.security_protocol = "
                f"{settings.security_protocol} does not encrypt; use SSL or SASL_SSL"
            )
        return None
    if settings.ssl_keyfile is not None and settings.ssl_certfile is None:
        raise Misconfigured(
            "kafka.ssl_keyfile needs kafka.ssl_certfile, the certificate of the key"
        )
    for name, path in given.items():
        if not path.is_file():
            raise Misconfigured(f"kafka.{name} = {str(path)!r} is no file")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_cafile, certfile=settings.ssl_certfile, keyfile=settings.ssl_keyfile
        )
    except OSError as error:  # ssl.SSLError among them
        raise Misconfigured(
            f"the certificates are of no use: {error} "
            f"({', '.join(f'kafka.{name} = {path}' for name, path in given.items())})"
        ) from error
    return context
