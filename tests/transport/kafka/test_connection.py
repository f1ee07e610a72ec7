"""What an operator says about the broker reaches every client, and nonsense is refused at once."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import KafkaSettings
from huleedu.core.settings_sources import load_settings, shown
from huleedu.transport.kafka.connection import KafkaConnection

SECRET = "does-not-leak"
LOGIN = {"sasl_username": "els", "sasl_password": SECRET}


def connection(servers: str = "one:9092", **given: Any) -> KafkaConnection:
    return KafkaConnection.from_settings(KafkaSettings(**given), servers, "els-worker")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that signed itself, and its key."""
    files = tmp_path / "client.pem", tmp_path / "client.key"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=els"]
    made = [*command, "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(made, check=True, capture_output=True)
    return files


def test_the_client_id_names_the_role() -> None:
    """Brokers see which role a client belongs to."""
    assert connection().client_options()["client_id"] == "huleedu-els-worker"


@pytest.mark.anyio
async def test_a_client_of_the_library_takes_the_options(certificate: tuple[Path, Path]) -> None:
    """Everything that is passed on is an argument that the library knows."""
    options = connection(
        security_protocol="SASL_SSL", ssl_cafile=certificate[0], **LOGIN
    ).client_options()

    await AIOKafkaAdminClient(**options).close()


def test_the_password_is_passed_on_and_not_shown() -> None:
    """The password reaches the client and no representation of the connection."""
    one = connection(security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512", **LOGIN)

    assert one.client_options()["sasl_plain_password"] == SECRET
    assert SECRET not in repr(one)


def test_the_environment_has_the_names_of_the_contract() -> None:
    """KAFKA_ and the key sets each of them, and the password is masked where settings are shown."""
    loaded = load_settings(
        {},
        {
            "KAFKA_DEFAULT_PARTITIONS": "6",
            "KAFKA_DEFAULT_REPLICATION_FACTOR": "3",
            "KAFKA_CONNECT_MAX_RETRIES": "0",
            "KAFKA_CONNECT_RETRY_DELAY": "0.5",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": "els",
            "KAFKA_SASL_PASSWORD": SECRET,
            "KAFKA_STATIC_MEMBERSHIP": "true",
        },
        None,
    )

    assert loaded.settings.kafka == KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_username="els",
        sasl_password=SECRET,
        default_partitions=6,
        default_replication_factor=3,
        connect_max_retries=0,
        connect_retry_delay=0.5,
        static_membership=True,
    )
    assert ("kafka.sasl_password", "***", "environment KAFKA_SASL_PASSWORD") in shown(loaded)


def test_a_client_certificate_is_taken(certificate: tuple[Path, Path]) -> None:
    """With SSL the certificate and its key are loaded, and the broker's name is checked."""
    context = connection(
        security_protocol="SSL", ssl_certfile=certificate[0], ssl_keyfile=certificate[1]
    ).ssl_context

    assert context is not None
    assert context.check_hostname


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"security_protocol": "SASL_SSL", "sasl_username": "els"}, "needs kafka.sasl_password"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "kafka.sasl_username and kafka.sasl_password"),
        (LOGIN, "does not log in"),
        ({"ssl_cafile": Path("ca.pem")}, "does not encrypt"),
        ({"security_protocol": "SSL", "ssl_cafile": Path("nowhere.pem")}, "'nowhere.pem' is no"),
        ({"security_protocol": "SSL", "ssl_keyfile": Path(__file__)}, "needs kafka.ssl_certfile"),
        ({"security_protocol": "SSL", "ssl_cafile": Path(__file__)}, "test_connection.py"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: dict[str, Any], told: str) -> None:
    """Nothing that was given is left aside in silence; the error names the setting."""
    with pytest.raises(Misconfigured, match=told) as refused:
        connection(**given)

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("servers", ["", "one:9092,", "one:port"])
def test_an_address_that_is_none_is_refused(servers: str) -> None:
    """The list of brokers is checked before anything starts."""
    with pytest.raises(Misconfigured, match="kafka_bootstrap_servers"):
        connection(servers)


def test_several_brokers_may_be_named() -> None:
    """Any broker of the cluster will do to start from."""
    several = "one:9092,two:9093,[::1]:9094"

    assert connection(several).client_options()["bootstrap_servers"] == several
