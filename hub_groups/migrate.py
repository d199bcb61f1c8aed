"""Bringing a database to the present schema, by Alembic, and back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from .database import open_engine, writing

_ONE_AT_A_TIME = 7_240_631  # any number that nobody else locks on


@dataclass(frozen=True)
class Migrations:
    """The schema of one package.

    Attributes:
        folder: with Alembic's `env.py` and `versions`.
        table: where the database says which schema it has; the hub's own database may be the same.
        head: the present schema.
    """

    folder: Path
    table: str
    head: str

    def upgrade(self, engine: sa.Engine) -> None:
        """To the present schema, if it is not there; safe from several processes at once."""
        if self.version(engine) != self.head:
            self._run(engine, "upgrade", self.head)

    def downgrade(self, engine: sa.Engine, revision: str) -> None:
        """Back to an earlier schema; `base` is none at all."""
        self._run(engine, "downgrade", revision)

    def version(self, engine: sa.Engine) -> str | None:
        """The schema that the database has; None for none."""
        with engine.connect() as db:
            if not sa.inspect(db).has_table(self.table):
                return None
            found: str | None = db.scalar(sa.text(f"SELECT version_num FROM {self.table}"))  # noqa: S608
            return found

    def _run(self, engine: sa.Engine, command: str, revision: str) -> None:
        from alembic import command as commands  # slow to import, and seldom needed
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.folder))
        with writing(engine) as db:  # which on SQLite keeps others out
            if engine.dialect.name == "postgresql":
                db.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
            config.attributes["connection"] = db
            getattr(commands, command)(config, revision)


class MigratedDatabase:
    """A database that is brought to the present schema when it is first used.

    Raises:
        sqlalchemy.exc.OperationalError: by any use: it can't be reached. The next one tries again.
    """

    def __init__(self, url: str, migrations: Migrations) -> None:
        self._engine, self._migrations = open_engine(url), migrations
        self._opening = threading.Lock()
        self._is_open = False

    def open(self) -> None:
        """Ask for the database, and bring it up to date. Every use does, so that nothing that is
        not there now keeps a hub from coming up."""
        with self._opening:
            if not self._is_open:
                self._migrations.upgrade(self._engine)
                self._is_open = True

    @property
    def engine(self) -> sa.Engine:
        """Of the database."""
        if not self._is_open:
            self.open()
        return self._engine

    def close(self) -> None:
        self._engine.dispose()


GROUPS = Migrations(Path(__file__).parent / "migrations", "hub_groups_version", "0002")
