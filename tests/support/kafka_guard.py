"""Start a program that ends with its owner, even when the owner is killed.

``python -m tests.support.kafka_guard OWNER_PID PROGRAM ARGUMENT…`` becomes PROGRAM, with the same
process id.  A small process stays beside it, which kills it as soon as the owner is gone.
(PR_SET_PDEATHSIG would not do: it speaks of the owner's thread, and test runners start things from
threads that end.)
"""

import os
import select
import signal
import sys


def main(owner_pid: int, command: list[str]) -> None:
    """Become ``command``, guarded.  Ends at once when the owner is gone already."""
    owner = os.pidfd_open(owner_pid)
    if os.getppid() != owner_pid:
        sys.exit(f"the owner, process {owner_pid}, is gone")
    program = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        _watch(owner, program)
        os._exit(0)
    os.execvp(command[0], command)


def _watch(owner: int, program: int) -> None:
    os.setsid()  # signals to the program's group are not meant for the guard
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    waiting = select.poll()
    waiting.register(owner, select.POLLIN)
    waiting.register(program, select.POLLIN)
    gone = {descriptor for descriptor, _ in waiting.poll()}
    if program not in gone:
        signal.pidfd_send_signal(program, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
