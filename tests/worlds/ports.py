"""Ports for what tests start, also for the servers that their hubs start. Standard library only."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

_FIRST, _LAST = 11_000, 32_000
_TURN = Path(tempfile.gettempdir(), f"group-quotas-tests-port-{os.getuid()}")


def free_port() -> int:
    """One to listen at later, and nobody else's until then: all tests of this machine take turns.

    Not one that the system picks, which it may give to another before it is listened at: a hub
    then takes that one's answers for those of the server that it has just started. Those below the
    system's range (ip_local_port_range of Linux) are nobody's.
    """
    with open(_TURN, "a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        port = int(turn.read() or _FIRST)
        while True:
            port = port + 1 if port < _LAST else _FIRST
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                break
        turn.truncate(0)
        turn.write(str(port))
    return port
