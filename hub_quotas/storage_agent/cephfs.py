"""CephFS: a limit is an extended attribute of a directory, and so is what is in it.

Ceph's quotas are cooperative: the client that mounts a home keeps them, so one that was tampered
with need not, and others write some seconds beyond. Whoever may write to a directory can change its
limit through a client whose key has the flag `p`: the agent's key needs it, and those with which
nodes mount homes must not have it. Nodes have to see the parent of a home, or they keep no limit.

What is used is the sum of the sizes of files, without copies or snapshots, and is some seconds old.
After the documentation of Ceph ("CephFS Quotas", "CephFS Client Capabilities"); tested against a
stand-in that follows it, not against Ceph.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .backend import Escape, Held, StorageError
from .directories import make_directory

_LIMIT, _USED = "ceph.quota.max_bytes", "ceph.dir.rbytes"


def _get(fd: int, name: str) -> int | None:
    """An attribute of a directory; None where it has none."""
    try:
        return int(os.getxattr(fd, name))
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def _set(fd: int, name: str, value: int) -> None:
    os.setxattr(fd, name, str(value).encode())


class CephFS:
    """A directory on CephFS, through the kernel or ceph-fuse."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._put: dict[str, int] = {}
        self._changed: list[Escape] = []

    @property
    def name(self) -> str:
        return "cephfs, quotas that clients keep"

    def prepare(self) -> None:
        """Ceph always counts."""
        with self._open(".") as fd:
            try:
                used = _get(fd, _USED)
            except OSError as error:
                raise self._explained(str(self._path), error) from None
        if used is None:
            raise StorageError(f"{self._path} has no {_USED}, so it is not on CephFS.")

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        make_directory(self._path / home, owner, mode)

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        problems = {}
        for home, limit in limits.items():
            # Zero takes a limit away, so the least is a byte.
            wanted = 0 if limit is None else max(limit, 1)
            try:
                self._set(home, wanted)
            except FileNotFoundError:
                self._put.pop(home, None)
            except OSError as error:
                problems[home] = str(self._explained(home, error))
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        found = {}
        for home in homes:
            try:
                with self._open(home) as fd:
                    used, limit = _get(fd, _USED), _get(fd, _LIMIT) or None
            except OSError:
                continue
            if used is not None:
                found[home] = Held(used, 0 if limit == 1 else limit)
        return found

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Limits that were changed by somebody else are set again."""
        for home in homes:
            if home in self._put:
                # What can't be set is said when it is put.
                with suppress(OSError):
                    self._set(home, self._put[home])
        found, self._changed = self._changed, []
        return found

    def _set(self, home: str, wanted: int) -> None:
        with self._open(home) as fd:
            there = _get(fd, _LIMIT) or 0
            if there != wanted:
                _set(fd, _LIMIT, wanted)
        if there != self._put.get(home, there):
            was = f"{there} bytes" if there else "none"
            what = f"its limit had been changed to {was}, and is set again; "
            advice = "no key but the agent's should have the flag p."
            self._changed.append(Escape(home, what + advice))
        self._put[home] = wanted

    @contextmanager
    def _open(self, home: str) -> Iterator[int]:
        fd = os.open(self._path / home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            yield fd
        finally:
            os.close(fd)

    def _explained(self, home: str, error: OSError) -> StorageError:
        if error.errno in (errno.EPERM, errno.EACCES):
            return StorageError(
                f"{home}: limits on CephFS can be set by a client whose key has the flag p, "
                "as in `ceph fs authorize FILESYSTEM client.NAME / rwp`."
            )
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return StorageError(
                f"{home}: this client knows no limits ({error.strerror}); "
                "they take ceph-fuse, or the kernel's from Linux 4.17."
            )
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return StorageError(f"{home} is no directory, so it can have no limit.")
        return StorageError(f"{home}: {error.strerror or error}.")
