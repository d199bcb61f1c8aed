"""Opening a store's database: SQLite beside the hub's own, or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

BUSY_TIMEOUT_MS = 10_000
_NAMED = (
    "a database is named like sqlite:////srv/jupyterhub/quotas.sqlite "
    "or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
)
_POSTGRES = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 10_000,  # ms; of a server that has gone without a word
}


def default_url(hub_db_url: str, name: str) -> str:
    """The URL of the SQLite file NAME beside the hub's own database.

    A hub whose database is not a local file (PostgreSQL, MySQL, memory) gets the file in its
    working directory.
    """
    url = make_url(hub_db_url)
    beside = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    folder = Path(url.database or "").parent if beside else Path()
    return f"sqlite:///{(folder / name).absolute()}"


def without_password(url: str) -> str:
    """For logs."""
    return make_url(url).render_as_string(hide_password=True)


def with_driver(url: str) -> sa.URL:
    """The URL with the driver that stores speak to.

    `postgresql://` is psycopg 3 here, whatever SQLAlchemy takes for it (up to 2.0, psycopg2).

    Raises:
        ValueError: no store can use this; says what would be right, and never the URL, which may
            have a password in it.
    """
    try:
        found = make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError(_NAMED) from None
    kind, _plus, driver = found.drivername.partition("+")
    if kind == "sqlite" and driver in ("", "pysqlite"):
        return found
    if kind not in ("postgresql", "postgres") or driver not in ("", "psycopg"):
        raise ValueError(_NAMED)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ValueError(
            "PostgreSQL needs psycopg: pip install 'jupyterhub-group-quotas[postgres]'"
        ) from None
    return found.set(drivername="postgresql+psycopg")


def missing_file(url: str) -> str:
    """The SQLite file that a URL names, where it is not there; empty for any other.

    Raises:
        ValueError: this is no URL of a database.
    """
    try:
        found = make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError(_NAMED) from None
    is_file = found.get_backend_name() == "sqlite" and found.database not in (None, "", ":memory:")
    return str(found.database) if is_file and not Path(str(found.database)).exists() else ""


def open_engine(url: str) -> sa.Engine:
    """An engine on which `reading` and `writing` are the only ways to a connection.

    Raises:
        ValueError: as `with_driver`.
    """
    known = with_driver(url)
    postgres = known.get_backend_name() == "postgresql"
    arguments = {k: v for k, v in _POSTGRES.items() if postgres and k not in known.query}
    engine = sa.create_engine(known, connect_args=arguments)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # NORMAL loses the last commits when the power fails
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "foreign_keys = ON",
        "wal_autocheckpoint = 8000",  # pages, 32 MB: a start that has to do it takes longer
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that turns into a writer fails at once, whatever the busy_timeout.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One consistent view."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that sees nobody else's changes between its first read and its commit."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection
