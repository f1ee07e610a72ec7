"""``python -m tests.power.careless serve …``: the program with a planted bug.

Its stores are opened with ``PRAGMA synchronous`` as the environment's ``SYNCHRONOUS`` says.
"""

import os

from huleedu.cli.program import main
from huleedu.store import database


def forget_the_disk(synchronous: str) -> None:
    """Have every writer that is opened from now on wait for the disk only so much."""
    setattr(  # noqa: B010 - final
        database,
        "_WRITER_PRAGMAS",
        (*database._WRITER_PRAGMAS, f"PRAGMA synchronous={synchronous}"),
    )


if __name__ == "__main__":
    forget_the_disk(os.environ["SYNCHRONOUS"])
    main()
