"""How long a consumer may be silent, slow or without progress before something is done about it."""

from dataclasses import dataclass
from typing import Self

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import KafkaSettings


@dataclass(frozen=True)
class ConsumerTimes:
    """In seconds; the defaults are those of the settings."""

    session_seconds: float = 10.0
    """Without a sign of life the broker gives the partitions to others."""
    max_poll_seconds: float = 300.0
    """Without a fetch the member leaves by itself; it asks four times as often."""
    watchdog_seconds: float = 15.0
    """Without progress, though messages wait, the consumer is made anew."""

    @classmethod
    def from_settings(cls, settings: KafkaSettings) -> Self:
        """Return those of a deployment.  Raises ``Misconfigured`` when they contradict."""
        if settings.max_poll_interval_seconds < settings.session_timeout_seconds:
            raise Misconfigured(
                f"kafka.max_poll_interval_seconds = {settings.max_poll_interval_seconds:g} is "
                f"shorter than kafka.session_timeout_seconds = {settings.session_timeout_seconds:g}"
            )
        return cls(
            settings.session_timeout_seconds,
            settings.max_poll_interval_seconds,
            settings.watchdog_seconds,
        )


DEFAULT_TIMES = ConsumerTimes()
