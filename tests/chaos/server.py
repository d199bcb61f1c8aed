"""The single-user server of a campaign: small, and watched to its true end.

A process of its own waits for the kernel to say that the server has ended, however it did, and
writes down when. Nothing of the product takes part.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import time
from urllib.parse import urlsplit

from note import note, true_now

STARTED = true_now()
STARTS_WITHIN, STOPS_WITHIN = 0.8, 0.4


def main() -> None:
    record, me = os.environ["CHAOS_RECORD"], os.getpid()
    who = {name: os.environ[f"CHAOS_{name.upper()}"] for name in ("session", "user", "server")}
    ended = os.pidfd_open(me)
    if os.fork() == 0:
        os.setsid()
        note(record, "start", STARTED, pid=me, **who)
        select.select([ended], [], [])
        note(record, "end", pid=me, **who)
        os._exit(0)

    def stop(*_: object) -> None:
        note(record, "signal", pid=me, **who)
        time.sleep(random.uniform(0, STOPS_WITHIN))
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
    # As the name of a pod tells where it is to a hub that was killed while it started.
    place = os.environ["CHAOS_PLACE"]
    with open(f"{place}.new", "w") as file:
        json.dump({"pid": me, "port": port, "session": who["session"]}, file)
    os.replace(f"{place}.new", place)
    time.sleep(random.uniform(0, STARTS_WITHIN))
    serve(port)


def serve(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2)
            try:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                continue


if __name__ == "__main__":
    main()
