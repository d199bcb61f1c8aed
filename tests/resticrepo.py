"""restic with a repository in a folder: one that is found, else one that gets installed by apt."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

PASSWORD = b"not a secret"


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
    password.write_bytes(PASSWORD)
    told = {
        "RESTIC_REPOSITORY": str(folder / "repository"),
        "RESTIC_PASSWORD_FILE": str(password),
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    subprocess.run(
        ["restic", "init", "--quiet"], check=True, capture_output=True, env={**os.environ, **told}
    )
    _open_quickly(folder / "repository" / "keys")
    return told


def _open_quickly(keys: Path) -> None:
    """Make the password cheap to guess: restic takes half a second for it, each time that it
    starts, and there are hundreds of starts.

    Its key file has the key of the repository, encrypted with AES-256-CTR and Poly1305-AES under
    what scrypt makes of the password. This one is the same with a scrypt of next to no work.
    """
    (path,) = keys.iterdir()
    old = json.loads(path.read_text())
    data = b64decode(old["data"])
    nonce, secret = data[:16], data[16:-16]
    clear = _counted(_of_password(old)[:32], nonce, secret)
    new = {**old, "N": 2, "r": 1, "p": 1}
    key = _of_password(new)
    sealed = _counted(key[:32], nonce, clear)
    new["data"] = b64encode(nonce + sealed + _code(key[32:48], key[48:], nonce, sealed)).decode()
    text = json.dumps(new).encode()
    path.unlink()
    # It is named by its checksum.
    (keys / hashlib.sha256(text).hexdigest()).write_bytes(text)


def _of_password(key: dict[str, Any]) -> bytes:
    """64 bytes: of AES-256, then of Poly1305-AES."""
    cost = {"n": key["N"], "r": key["r"], "p": key["p"]}
    salt = b64decode(key["salt"])
    return hashlib.scrypt(PASSWORD, salt=salt, dklen=64, maxmem=2**30, **cost)


def _counted(key: bytes, nonce: bytes, text: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update(text)


def _code(key: bytes, factor: bytes, nonce: bytes, text: bytes) -> bytes:
    hidden = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(nonce)
    return Poly1305.generate_tag(factor + hidden, text)
