"""Runs a command and collects, while it runs, every orphan below it: `python init.py COMMAND ...`.

A killed hub leaves its proxy and its services behind. When those end they belong to the system's
first process, and in a container that may leave them as zombies, for seconds or for ever. A zombie
still has its process id: the next hub gives up on a proxy that it can't stop, and tests wait in
vain for an end. Linux only; elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, of linux/prctl.h


def main(command: list[str]) -> int:
    """The command's exit status."""
    if sys.platform != "linux":
        return subprocess.call(command)
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    ours = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command too
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(ours, number))
    while True:
        ended, status = os.wait()
        if ended == ours:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)  # a signal's number, as shells say it
