"""The command line: parse, call, print; no rule of the domain lives here.

One file a command group (``serve``, ``check``, ``batch``, ``topics``, ``contract``, ``config``).
Data goes to stdout, everything said about it to stderr.  Exit codes: 0 done, 1 the work failed, 2
wrong use or configuration, 70 a bug of ours, 75 not available now, 130 interrupted.
"""

from huleedu.cli.program import main

__all__ = ["main"]
