"""How large the parts of a message may be, so that everything about a batch can be said.

What a batch is told in one event grows with its essays: the command and the outcome name each with
its text.  So there is a most for essays, and it follows from the limit of one event.
"""

from collections.abc import Sequence

import msgspec

from huleedu.core.messages.references import (
    ID_CHARACTERS_MAX,
    STORAGE_ID_CHARACTERS_MAX,
    EssayProcessingInputRefV1,
)

EVENT_BYTES_MAX = 900_000
"""The contract's limit of one event on the wire."""
_AROUND_ESSAYS_BYTES = 10_000
"""More than the envelope takes, and all of the data but the essays."""
_BESIDE_ID_BYTES = 1 + len(
    msgspec.json.encode(
        EssayProcessingInputRefV1(essay_id="", text_storage_id="0" * STORAGE_ID_CHARACTERS_MAX)
    )
)
"""Of one essay in a list of them, beside its id: the comma too."""
_ESSAYS_BYTES_MAX = EVENT_BYTES_MAX - _AROUND_ESSAYS_BYTES
ESSAYS_PER_BATCH_MAX = _ESSAYS_BYTES_MAX // (_BESIDE_ID_BYTES + ID_CHARACTERS_MAX)
"""As many essays fit every event whatever their ids are."""


def fit_one_event(essay_ids: Sequence[str]) -> bool:
    """Tell whether one event can name all these essays with their texts.

    The ids are lawful: none of their characters takes more than one byte.
    """
    return len(essay_ids) * _BESIDE_ID_BYTES + sum(map(len, essay_ids)) <= _ESSAYS_BYTES_MAX
