"""Transactions on SQLite and PostgreSQL behind one interface, on the driver's own connection.

SQLAlchemy makes the connections and the schema. The ledger's statements go to the driver
directly: a reservation is a dozen look-ups by key, and SQLAlchemy's share of each would be
more than the look-up itself (docs/performance.md).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from hub_groups.database import open_engine

Row = Sequence[Any]

_AT_ONCE = 1000  # rows that PostgreSQL hands over together, where there may be many
_POLICY_LOCK = 7_240_632  # any number that nobody else locks on


class LedgerError(RuntimeError):
    """The ledger can't be used as it is; the message says why."""


class Transaction:
    """One consistent view, or one atomic change. Statements have `?` for their values."""

    def __init__(self, connection: Any, postgres: bool) -> None:
        self._connection = connection
        self.postgres = postgres
        self.adds = False
        """Whether it has added what others remember for ever: until it is committed, nobody may."""

    def all(self, sql: str, *values: object) -> list[Row]:
        cursor = self._connection.execute(_for_driver(sql, self.postgres), values)
        rows: list[Row] = cursor.fetchall()
        return rows

    def each(self, sql: str, *values: object) -> Iterator[Row]:
        """Row by row: never are all of them in memory."""
        if self.postgres:
            with self._connection.cursor(name="each") as cursor:
                cursor.itersize = _AT_ONCE
                cursor.execute(_for_driver(sql, True), values)
                yield from cursor
        else:
            yield from self._connection.execute(sql, values)

    def one(self, sql: str, *values: object) -> Row | None:
        row: Row | None
        row = self._connection.execute(_for_driver(sql, self.postgres), values).fetchone()
        return row

    def run(self, sql: str, *values: object) -> int:
        """Returns how many rows were touched."""
        count: int = self._connection.execute(_for_driver(sql, self.postgres), values).rowcount
        return count

    def hold_policy(self, change: bool = False) -> None:
        """Nobody changes the policy until this transaction ends; nobody else reads it to act on it,
        where this one changes it."""
        if self.postgres:
            shared = "" if change else "_shared"
            self.all(f"SELECT pg_advisory_xact_lock{shared}(?)", _POLICY_LOCK)

    def lock(self, subjects: Iterable[int]) -> None:
        """Nobody else appends to these subjects until this transaction ends.

        Always in the order of their ids, or two transactions could wait for each other. On SQLite a
        writer is alone anyway. What is read after this, in a statement of its own, is what the
        last holder of the lock has left; in one statement with the lock it would not be.
        """
        if self.postgres:
            ids = sorted(set(subjects))
            self.all("SELECT id FROM subject WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE", ids)


@lru_cache(maxsize=256)
def _for_driver(sql: str, postgres: bool) -> str:
    return sql.replace("?", "%s") if postgres else sql


class Database:
    """The database of a ledger."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.postgres = self.engine.dialect.name == "postgresql"
        self._writer: Any = None
        self._alone = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One at a time in a process; other processes wait their turn in the database."""
        with self._alone, self.named_errors():
            if self._writer is None:
                self._writer = self.engine.raw_connection()
            try:
                yield from self._transaction(self._writer, "BEGIN IMMEDIATE")
            except BaseException:
                # Whatever broke may have been the connection: the next one starts afresh.
                writer, self._writer = self._writer, None
                writer.invalidate()
                raise

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self.named_errors():
            connection = self.engine.raw_connection()
            try:
                yield from self._transaction(connection, "BEGIN")
            finally:
                connection.close()

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """What drivers and SQLAlchemy call errors of the database is one thing to those above."""
        try:
            yield
        except (self.engine.dialect.loaded_dbapi.Error, sa.exc.SQLAlchemyError) as error:
            raise LedgerError(str(getattr(error, "orig", None) or error)) from error

    def _transaction(self, connection: Any, begin: str) -> Iterator[Transaction]:
        driver = connection.driver_connection
        if not self.postgres:
            driver.execute(begin)
        elif (
            begin == "BEGIN"
        ):  # psycopg begins by itself, and each statement would see its own view
            driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            yield Transaction(driver, self.postgres)
        except BaseException:
            driver.rollback()
            raise
        driver.commit()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.engine.dispose()
