"""Storage agents as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from hubs import TOKEN, Hub

PROGRAM = str(Path(sys.executable).parent / "hub-storage-agent")


class StorageAgent:
    """One, of the mount `homes` of a hub."""

    def __init__(self, folder: Path, hub: Hub, root: Path | None, *options: str) -> None:
        """Args:
        root: None where `options` say where homes are.
        """
        token = folder / "token"
        token.write_text(TOKEN + "homes")
        self.log_file = folder / "agent.log"
        self.state = folder / "state"
        place = ["--root", str(root), "--homes", "homes/{username}", "--shared", "shared/{group}"]
        if root is None:
            place = []
        service = ["--url", f"{hub.base}services/quotas/api", "--token-file", str(token)]
        self.where = [*place, "--state", str(self.state), *service]
        if root is None:
            self.where, options = [*self.where, *options], ()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start(self) -> None:
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "run", *self.where, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "no_proxy": "127.0.0.1"},
            )

    def kill(self) -> None:
        """At once, wherever it is."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """In order; returns the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(20)

    def plan(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PROGRAM, "plan", *self.where], capture_output=True, text=True)
