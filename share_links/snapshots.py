"""Snapshots: copies of single files that links hand on, on the hub until the link ends.

A file is there before its row is, and a row goes before its file does. So when a process is killed
in between, a file is left that nothing names, and `sweep` removes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from hub_groups.database import reading, writing
from hub_groups.words import _

from .addresses import LaunchError
from .launch import Launch
from .links import Link, Source, Terms
from .schema import snapshot, stored_link
from .sharing import Used, check_room
from .store import LinkStore, works

_GRACE = 600
"""Seconds that a file may be without a row: it is being stored."""


class Snapshots:
    """Of one hub.

    Args:
        folder: where the files are; made when there is something to keep.
    """

    def __init__(self, store: LinkStore, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._one_at_a_time = threading.Lock()

    def share(
        self, launch: Launch, by: str, terms: Terms, source: Source | None, data: bytes
    ) -> Link:
        """Keep a file, and make a link that hands it on. The launch names it.

        Raises:
            LaunchError: it is too large, or they have no room for it.
            TooManyLinks: they have no room for one more link.
            OSError: it can't be kept.
        """
        id = secrets.token_hex(16)
        row = {
            "id": id,
            "user": by,
            "name": launch.target.file,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "at": self._store.clock(),
        }

        def add(db: sa.Connection, link: str) -> None:
            db.execute(sa.insert(snapshot), {**row, "link": link})

        with self._one_at_a_time:  # this process alone writes, and so nobody gets too much
            check_room(self.used(by), len(data))
            self.write(id, data)
            try:
                return self._store.make(launch, by, terms, source=source, snapshot=id, also=add)
            except BaseException:
                self._path(id).unlink()
                raise

    def write(self, id: str, data: bytes) -> None:
        """Keep a file: all of it, or nothing. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path, part = self._path(id), self._path(f"{id}.part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def read(self, id: str) -> bytes:
        """The bytes of a snapshot whose link works.

        Raises:
            LaunchError: it is not there any more.
        """
        query = sa.select(snapshot.c.sha256).join_from(snapshot, stored_link, _OF_LINK)
        here = (snapshot.c.id == id, works(self._store.clock()))
        with reading(self._store.engine) as db:
            sha256 = db.scalar(query.where(*here))
        with suppress(OSError):
            data = self._path(id).read_bytes() if sha256 else b""
            if sha256 and hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise LaunchError(_("The copy of the file is not there any more."))

    def used(self, user: str) -> Used:
        """What the snapshots of a user take, of links that work."""
        query = (
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(snapshot.c.bytes), 0))
            .join_from(snapshot, stored_link, _OF_LINK)
            .where(snapshot.c.user == user, works(self._store.clock()))
        )
        with reading(self._store.engine) as db:
            count, bytes = db.execute(query).one()
        return Used(int(count), int(bytes))

    def sweep(self) -> int:
        """Remove what no link that works needs; how many files or rows went.

        Raises:
            OSError: a file can't be removed.
        """
        with reading(self._store.engine) as db:
            query = sa.select(snapshot.c.id, works(self._store.clock()).label("works"))
            rows = {row.id: row.works for row in db.execute(query.outerjoin(stored_link, _OF_LINK))}
        files = {path.name: path for path in self._folder.glob("*")}
        over = {id for id, works in rows.items() if not works or id not in files}
        with writing(self._store.engine) as db:
            for id in over:
                db.execute(sa.delete(snapshot).where(snapshot.c.id == id))
        long_ago = time.time() - _GRACE
        left = {
            name for name in set(files) - set(rows) if files[name].stat().st_mtime < long_ago
        } | (over & set(files))
        for name in left:
            files[name].unlink(missing_ok=True)
        return len(over | left)

    def _path(self, name: str) -> Path:
        return self._folder / name


_OF_LINK = snapshot.c.link == stored_link.c.id
