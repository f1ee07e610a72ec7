"""Which processes there are in a run, and what they are set to."""

from pathlib import Path
from random import Random

from huleedu.core.settings import ElsSettings, Settings

READINESS_SECONDS = (1.0, 1.7, 2.5)
PHASE_SECONDS = (900.0, 900.0, 900.0, 2.0)
SHORT_PHASE_SECONDS = 3.0

DISTRIBUTED = {
    "bos": ("bos",),
    "els-1": ("els",),
    "els-2": ("els",),
    "files": ("files",),
    "content": ("content",),
    "spellcheck": ("spellcheck",),
    "results": ("results",),
}
"""Every role a process of its own, over a broker; two workers of ELS share its store."""
EMBEDDED = {"all-in-one": ("bos", "els", "files", "content", "spellcheck", "results")}


def drawn_settings(directory: Path, random: Random, is_short: bool) -> Settings:
    """Return settings under which deadlines pass in a run, some of them while it is busy."""
    readiness, phase = random.choice(READINESS_SECONDS), random.choice(PHASE_SECONDS)
    els = ElsSettings(
        readiness_timeout_seconds=readiness,
        phase_timeout_seconds=min(phase, SHORT_PHASE_SECONDS) if is_short else phase,
    )
    return Settings(data_dir=directory, els=els)
