"""Looking at the database of one of our packages without changing it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from hub_groups.migrate import Migrations

from .doctor_facts import (
    BAD_URL,
    FOREIGN,
    NEW,
    NEWER,
    NO_DRIVER,
    NO_FOLDER,
    OLDER,
    READ_ONLY,
    READY,
    UNREACHABLE,
    Database,
)

PATIENCE = 3
"""Seconds to wait for a database."""

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "glusterfs", "lustre")
_LONGEST = 300


@dataclass(frozen=True)
class Place:
    """Where a package's database is to be.

    Attributes:
        url: with its password.
        by_default: whether no setting names it.
    """

    package: str
    setting: str
    url: str
    by_default: bool
    migrations: Migrations


def whole(url: str) -> str:
    """The same, from any folder: with the whole path of a file."""
    try:
        found = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return url
    if found.get_backend_name() != "sqlite" or found.database in (None, "", ":memory:"):
        return url
    file = str(Path(str(found.database)).absolute())
    return found.set(database=file).render_as_string(hide_password=False)


def look(place: Place) -> Database:
    """What is there now. Blocks, for up to about PATIENCE seconds; never raises."""
    migrations = place.migrations
    found = Database(
        place.package,
        place.setting,
        "",
        UNREACHABLE,
        wanted=migrations.head,
        by_default=place.by_default,
    )
    try:
        url = make_url(place.url)
    except (sa.exc.ArgumentError, ValueError):
        return replace(found, state=BAD_URL)
    found = replace(found, url=url.render_as_string(hide_password=True))
    try:
        if url.get_backend_name() == "sqlite":
            return _file(found, url, migrations)
        if url.get_backend_name() == "postgresql":
            return _server(found, url, migrations)
        return replace(found, state=BAD_URL)
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        return replace(found, state=NO_DRIVER, why=_said(error))
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        return replace(found, why=_said(error))


def _said(error: Exception) -> str:
    """The first sentence of what a driver says, which has no password in it."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0][:_LONGEST] if text else type(error).__name__


# -- SQLite ---------------------------------------------------------------------------------------


def _file(found: Database, url: URL, migrations: Migrations) -> Database:
    file = Path(url.database or "")
    if url.database in (None, "", ":memory:"):
        return replace(found, state=NEW)
    folder = file.parent
    found = replace(found, network=network_of(folder, _mounts()))
    if not folder.is_dir():
        return replace(found, state=NO_FOLDER)
    if not _writable(folder) or (file.exists() and not _writable(file)):
        return replace(found, state=READ_ONLY)
    if not file.exists():
        return replace(found, state=NEW)
    try:
        schema = _schema_of_file(file, migrations.table)
    except sqlite3.DatabaseError as error:
        busy = isinstance(error, sqlite3.OperationalError) and file.is_file()
        return replace(found, state=UNREACHABLE if busy else FOREIGN, why=_said(error))
    return _compared(found, schema, migrations)


def _schema_of_file(file: Path, table: str) -> str:
    with closing(_read_alone(file)) as db:
        there = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        row = there and db.execute(f"SELECT version_num FROM {table}").fetchone()  # noqa: S608
        return str(row[0]) if row else ""


def tables(file: Path) -> set[str]:
    """The names of the tables in a SQLite file; none where it can't be read as one."""
    try:
        with closing(_read_alone(file)) as db:
            return {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return set()


def _read_alone(file: Path) -> sqlite3.Connection:
    """Nothing is written, not even the files beside it that SQLite makes for readers: without a
    log of what is to be written, nobody has it open, or it is as it was left."""
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    name = quote(str(file.absolute()))
    return sqlite3.connect(f"file:{name}?{mode}", uri=True, timeout=PATIENCE)


def _writable(path: Path) -> bool:
    """As the file system has it, which may be mounted to be read alone."""
    return os.access(path, os.W_OK)


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(errors="replace")
    except OSError:
        return ""


def network_of(folder: Path, mounts: str) -> str:
    """The kind of the network file system that a folder is on; "" for none.

    Args:
        mounts: as in /proc/mounts.
    """
    where = folder.absolute()
    best, kind = Path(), ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        point = Path(parts[1].replace("\\040", " "))
        if point in (where, *where.parents) and len(point.parts) >= len(best.parts):
            best, kind = point, parts[2]
    return kind if kind in _NETWORK else ""


# -- PostgreSQL -----------------------------------------------------------------------------------


def _server(found: Database, url: URL, migrations: Migrations) -> Database:
    url.get_dialect().import_dbapi()  # ImportError where it is not installed
    arguments: dict[str, Any] = {"connect_timeout": PATIENCE}
    if "connect_timeout" in url.query:
        arguments = {}
    engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool)
    with engine.connect() as db:
        db.execute(sa.text(f"SET statement_timeout = {PATIENCE * 1000}"))
        before = time.time()
        at, only_read = db.execute(
            sa.text(
                "SELECT extract(epoch FROM clock_timestamp()),"
                " current_setting('default_transaction_read_only') = 'on' OR pg_is_in_recovery()"
            )
        ).one()
        found = replace(found, ahead=float(at) - (before + time.time()) / 2)
        if only_read:
            return replace(found, state=READ_ONLY)
        schema = ""
        if sa.inspect(db).has_table(migrations.table):
            schema = str(db.scalar(sa.text(f"SELECT version_num FROM {migrations.table}")) or "")  # noqa: S608
        db.rollback()
    engine.dispose()
    return _compared(found, schema, migrations)


def _compared(found: Database, schema: str, migrations: Migrations) -> Database:
    if not schema:
        return replace(found, state=NEW)
    known = {file.name.partition("_")[0] for file in (migrations.folder / "versions").glob("0*.py")}
    state = READY if schema == migrations.head else OLDER if schema in known else NEWER
    return replace(found, state=state, schema=schema)
