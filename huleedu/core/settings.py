"""Every setting of the program, with its type, unit and default.

Where a value comes from (command line, environment, file, default) is ``settings_sources``.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from huleedu.core.logging import LogFormat
from huleedu.core.messages import ESSAYS_PER_BATCH_MAX

Count = Annotated[int, msgspec.Meta(ge=1)]
EssayCount = Annotated[int, msgspec.Meta(ge=1, le=ESSAYS_PER_BATCH_MAX)]
ShortCount = Annotated[int, msgspec.Meta(ge=1, le=32_767)]  # Kafka: 16 bits
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]  # at most a year
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file; an unknown key stops the program."""


class Limits(Section, frozen=True, kw_only=True):
    """How much is taken from outside; the defaults are the contract's."""

    essays_per_batch: EssayCount = 1_000
    json_body_bytes: Count = 1_000_000
    json_depth: Count = 32
    instructions_characters: Count = 20_000
    file_bytes: Count = 10_000_000
    upload_bytes: Count = 100_000_000
    upload_files: Count = 1_000
    text_bytes: Count = 1_000_000
    page_size: Count = 100


class KafkaSettings(Section, frozen=True, kw_only=True):
    """How to reach the broker beyond its address, and what topics are made like."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str = ""
    ssl_cafile: Path | None = None
    """Who may have signed the brokers' certificates; None: whom this machine trusts."""
    ssl_certfile: Path | None = None
    """What we show to brokers that ask for a certificate, in PEM."""
    ssl_keyfile: Path | None = None
    """The certificate's key, in PEM and without a password; None: it is in the same file."""
    default_partitions: ShortCount = 3
    default_replication_factor: ShortCount = 1
    dead_letter_retention_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 365
    """How long a new topic of dead letters keeps them; 0: for ever."""
    connect_max_retries: Annotated[int, msgspec.Meta(ge=0)] = 10
    connect_retry_delay: Seconds = 2.0
    static_membership: bool = False
    """Whether a consumer keeps its partitions over a quick restart."""
    session_timeout_seconds: Annotated[float, msgspec.Meta(ge=1, le=1_800)] = 10.0
    """After so long without a sign of life others get a consumer's partitions."""
    max_poll_interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 300.0
    """After so long without asking for messages a consumer leaves its group."""
    watchdog_seconds: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 15.0
    """After so long without progress, though messages wait, a consumer is made anew."""


class ModuleSettings(Section, frozen=True, kw_only=True):
    """What every module has; None: the value for the whole process applies.

    In what ``settings_sources.load_settings`` returns, those are already filled in.
    """

    log_level: LogLevel | None = None
    environment: str | None = None
    http_host: str | None = None
    http_port: Port | None = None
    prometheus_port: Port | None = None
    kafka_bootstrap_servers: str | None = None
    content_service_url: str | None = None
    essay_lifecycle_service_url: str | None = None
    database_path: Path | None = None
    consumer_group: str | None = None


class BosSettings(ModuleSettings, frozen=True, kw_only=True):
    """The Batch Orchestrator."""

    http_port: Port | None = 5000
    consumer_group: str | None = "batch-orchestrator-service-group-v1.0"
    stalled_seconds: Seconds = 900.0
    """After how long a silence, where something was due, a batch is marked as stalled."""


class ElsSettings(ModuleSettings, frozen=True, kw_only=True):
    """The Essay Lifecycle Service."""

    http_port: Port | None = 6000
    consumer_group: str | None = "essay-lifecycle-service-group-v1.0"
    log_student_details: bool = False
    readiness_timeout_seconds: Seconds = 86_400.0
    """How long a batch waits for its essays where its registration does not say."""
    phase_timeout_seconds: Seconds = 900.0
    """How long neither a batch in a phase nor any dispatched before it may stand still."""


class ContentSettings(ModuleSettings, frozen=True, kw_only=True):
    """The content store."""

    http_port: Port | None = 8000


class FilesSettings(ModuleSettings, frozen=True, kw_only=True):
    """Upload and text extraction."""

    http_port: Port | None = 7001
    consumer_group: str | None = "file-service-group-v1.0"
    registration_wait_seconds: Seconds = 5.0
    extraction_processes: Count = 2
    extraction_seconds: Seconds = 10.0


class SpellcheckSettings(ModuleSettings, frozen=True, kw_only=True):
    """The spell-checker."""

    consumer_group: str | None = "spellchecker-service-group-v1.1"
    processes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Worker processes; 0: one for each processor."""
    essay_seconds: Seconds = 60.0


class ResultsSettings(ModuleSettings, frozen=True, kw_only=True):
    """The query side."""

    http_port: Port | None = 7002
    consumer_group: str | None = "results-service-group-v1.0"
    heartbeat_seconds: Seconds = 15.0
    progress_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 365
    """How long the single events of a batch are kept; 0: for ever.  How it stands stays."""


class Settings(Section, frozen=True, kw_only=True):
    """The whole program."""

    transport: Literal["auto", "memory", "kafka"] = "auto"
    """``auto``: memory for all in one process, kafka for roles in processes of their own."""
    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: Port = 5000
    """The one port of ``serve all-in-one``."""
    allowed_hosts: str = ""
    """Further names or addresses (``host`` or ``host:port``, comma-separated) to answer to."""
    environment: str = "development"
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "auto"
    prometheus_port: Port | None = None
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    content_service_url: str = "http://127.0.0.1:8000"
    essay_lifecycle_service_url: str = "http://127.0.0.1:6000"
    role_secret: str = ""
    """What roles show one another; empty: made at the first start, in the data directory."""
    stop_seconds: Seconds = 8.0
    """How long work in hand may take after SIGTERM."""
    store_cache_mebibytes: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 64
    """How much of its file the writer of each store keeps in memory; readers keep 2 MiB each."""
    courses_file: Path | None = None
    """course → language; None: the table that comes with the program."""
    limits: Limits = Limits()
    kafka: KafkaSettings = KafkaSettings()
    bos: BosSettings = BosSettings()
    els: ElsSettings = ElsSettings()
    content: ContentSettings = ContentSettings()
    files: FilesSettings = FilesSettings()
    spellcheck: SpellcheckSettings = SpellcheckSettings()
    results: ResultsSettings = ResultsSettings()
