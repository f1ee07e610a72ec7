"""``python -m tests.endurance.small_caches serve all-in-one …``: the program, with small caches.

Each of its stores may keep 64 MiB of pages in memory, and takes hours of load to get there.  With
2 MiB that is over in a minute, and what still grows afterwards is a leak.
"""

from huleedu.cli.program import main
from huleedu.store import database

CACHE_KIBIBYTES = 2_048

if __name__ == "__main__":
    pragmas = [one for one in database._WRITER_PRAGMAS if "cache_size" not in one]
    assert len(pragmas) == len(database._WRITER_PRAGMAS) - 1, "the caches are set elsewhere"
    setattr(  # noqa: B010 - not ours to reassign
        database, "_WRITER_PRAGMAS", (*pragmas, f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
    )
    main()
