"""Servers of a daemon that is not here (Docker, systemd), as plain processes.

What the daemon was told is in `FOLDER/NAME.json`, for tests and for the next hub.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class Processes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def told(self, name: str) -> dict[str, Any] | None:
        """What was written of this server; None where there is none."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def write(self, name: str, told: dict[str, Any]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(told, indent=1, default=str))

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        home = self.folder / f"{name}.home"
        home.mkdir(exist_ok=True)
        with open(home / "server.log", "ab") as log:
            child = subprocess.Popen(
                command,
                cwd=home,
                env={"PATH": os.environ["PATH"], **environment, "HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children[name] = child
        self.write(name, {**(self.told(name) or {}), "pid": child.pid})

    def exit_code(self, name: str) -> int | None:
        """None while the server runs; 255 where it ended unseen."""
        if name in self.children:
            return self.children[name].poll()
        pid = (self.told(name) or {}).get("pid")
        try:  # a child of the hub before; nobody may have collected it
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return 255
        return 255 if state == "Z" else None

    async def stop(self, name: str) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(100):
                if self.exit_code(name) is not None:
                    return
                os.kill(self.told(name)["pid"], number)
                await asyncio.sleep(0.05)

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink()
        self.children.pop(name, None)


def on_port(environment: dict[str, str], port: int) -> dict[str, str]:
    """The server listens where its host would have forwarded to."""
    url = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
    here = urlunsplit(url._replace(netloc=f"127.0.0.1:{port}"))
    return {**environment, "JUPYTERHUB_SERVICE_URL": here}
