"""restic with a repository in a folder: one that is found, else one that gets installed by apt."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


class NoRestic(RuntimeError):
    """It can't be had here; the message says why."""


def install() -> None:
    """Raises:
    NoRestic
    """
    if shutil.which("restic"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise NoRestic("No restic was found; only root on Debian can install one.")
    for command in (
        ["apt-get", "update", "--quiet"],
        ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "restic"],
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    if not shutil.which("restic"):
        reason = (done.stderr or done.stdout).strip()[-300:]
        raise NoRestic(f"No restic was found, and none could be installed.\n{reason}")


def new_repository(folder: Path) -> dict[str, str]:
    """Returns the environment that tells restic of it."""
    install()
    folder.mkdir(parents=True)
    password = folder / "password"
    password.write_text("not a secret")
    told = {
        "RESTIC_REPOSITORY": str(folder / "repository"),
        "RESTIC_PASSWORD_FILE": str(password),
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    subprocess.run(
        ["restic", "init", "--quiet"], check=True, capture_output=True, env={**os.environ, **told}
    )
    return told
