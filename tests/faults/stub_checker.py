"""A spell-checking worker that finds nothing to correct and reads no text: for volume.

``python -m tests.faults.stub_checker`` in the environment of a deployment.  All but the checker
and the content store is the real one: the request is heard, answered and acknowledged as ever.
"""

import os
import signal

import anyio

from huleedu.core.enums import Language
from huleedu.core.ids import StorageId
from huleedu.core.logging import configure_logging, create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.settings import SpellcheckSettings
from huleedu.spellcheck.handlers import subscriptions
from huleedu.spellcheck.model import CheckedText
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.transport import KafkaTransport

CONCURRENCY = 200


class NothingWrong:
    """Corrects nothing."""

    async def check(self, text: str, language: Language) -> CheckedText:
        """Return the text as it is."""
        del language
        return CheckedText(corrected=text, corrections=())


class NoTexts:
    """Has the same text under every id."""

    async def put(self, content: bytes) -> StorageId:
        """Keep nothing."""
        del content
        return StorageId("0" * 32)

    async def get(self, storage_id: StorageId) -> bytes:
        """Return some words."""
        del storage_id
        return b"Some words."


async def main() -> None:
    """Answer requests until SIGTERM."""
    configure_logging("WARNING", "json")
    platform = Platform()
    settings = SpellcheckSettings(consumer_group=os.environ["SPELL_CHECKER_SERVICE_CONSUMER_GROUP"])
    transport = KafkaTransport(KafkaConnection(os.environ["KAFKA_BOOTSTRAP_SERVERS"]), platform)
    for one in subscriptions(transport, NothingWrong(), NoTexts(), platform, settings, CONCURRENCY):
        transport.subscribe(one)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            configure_logging("INFO", "json")
            create_service_logger("stub").info("role_started")
            configure_logging("WARNING", "json")
            async for _ in signals:
                tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
