"""Real file systems on loop devices, and what their users do there."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

OWNER = 1000
"""By number: whose homes are."""

PACKAGES = {"btrfs": "btrfs-progs", "xfs": "xfsprogs", "ext4": "e2fsprogs"}
_MAKE = {
    "btrfs": ("mkfs.btrfs", "--quiet"),
    "xfs": ("mkfs.xfs", "-q"),
    "ext4": ("mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"),
}
_MOUNT = {"btrfs": "loop", "xfs": "loop,prjquota", "ext4": "loop,prjquota"}


class NoFilesystem(RuntimeError):
    """It can't be had here; the message says why."""


@dataclass(frozen=True)
class Filesystem:
    """One that is mounted.

    Attributes:
        kind: btrfs, xfs, ext4.
        path: where.
        full: the errors with which a limit refuses to write.
    """

    kind: str
    path: Path

    @property
    def full(self) -> set[int]:
        return {errno.ENOSPC, errno.EDQUOT} if self.kind == "xfs" else {errno.EDQUOT}


def make(kind: str, size: int = 2 << 30, limits: bool = True) -> Filesystem:
    """A new one, mounted where everybody can get at it.

    Args:
        limits: with what it takes to set some.

    Raises:
        NoFilesystem
    """
    if os.geteuid() != 0:
        raise NoFilesystem("only root mounts file systems")
    _install(kind)
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    image, where = folder / f"{kind}.img", folder / kind
    with open(image, "wb") as file:
        file.truncate(size)
    where.mkdir()
    options, mounted = _MAKE[kind], _MOUNT[kind]
    if not limits:
        options, mounted = options[:2], "loop"
    for command in (
        [*options, str(image)],
        ["mount", "-t", kind, "-o", mounted, str(image), str(where)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NoFilesystem(f"{' '.join(command)}: {done.stderr.strip()[-200:]}")
    where.chmod(0o755)
    return Filesystem(kind, where)


def mounted(kind: str) -> Iterator[Filesystem]:
    """For a fixture: a new one until its tests are over. Where it can't be had, they are skipped,
    but not in CI."""
    try:
        made = make(kind)
    except NoFilesystem as error:
        assert "CI" not in os.environ, error
        pytest.skip(str(error))
    yield made
    end(made)


def end(filesystem: Filesystem) -> None:
    subprocess.run(["umount", "--lazy", str(filesystem.path)], check=True)
    filesystem.path.with_name(f"{filesystem.kind}.img").unlink()
    filesystem.path.rmdir()
    filesystem.path.parent.rmdir()


def _install(kind: str) -> None:
    """By apt on Debian."""
    if shutil.which(_MAKE[kind][0]):
        return
    if not shutil.which("apt-get"):
        raise NoFilesystem(f"there is no {_MAKE[kind][0]}")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", PACKAGES[kind]]
    for command in (["apt-get", "update", "--quiet"], install):
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )


def as_owner(*command: str) -> subprocess.CompletedProcess[str]:
    """Run something as the owner of homes, without any privilege."""
    return subprocess.run(
        command,
        user=OWNER,
        group=OWNER,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
    )


def owner(call: Callable[[], T]) -> T:
    """Call something as the owner of homes, in a process of its own; its Python need not be theirs
    to run."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(OWNER, OWNER, OWNER)
            os.setresuid(OWNER, OWNER, OWNER)
            os.write(writer, pickle.dumps(call()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    assert answer, "it has failed there"
    result: T = pickle.loads(answer)
    return result


def write(path: Path, size: int) -> tuple[int, int]:
    """Write a file as the owner of homes: how many bytes went, and the error; 0 for none."""

    def some() -> tuple[int, int]:
        written = 0
        try:
            with open(path, "wb", buffering=0) as file:
                while written < size:
                    written += file.write(b"x" * min(65536, size - written))
                os.fsync(file.fileno())
        except OSError as error:
            return written, error.errno or -1
        return written, 0

    return owner(some)
