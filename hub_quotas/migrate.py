"""Bringing a database to the present schema, by Alembic, and back."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from hub_groups.database import writing

HEAD = "0003"
VERSION_TABLE = "hub_quotas_version"  # the hub's own database may be the same one

_ONE_AT_A_TIME = 7_240_631  # any number that nobody else locks on


def upgrade(engine: sa.Engine) -> None:
    """To the present schema, if it is not there; safe from several processes at once."""
    if version(engine) != HEAD:
        _run(engine, "upgrade", HEAD)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Back to an earlier schema; `base` is none at all."""
    _run(engine, "downgrade", revision)


def version(engine: sa.Engine) -> str | None:
    """The schema that the database has; None for none."""
    with engine.connect() as db:
        if not sa.inspect(db).has_table(VERSION_TABLE):
            return None
        found: str | None = db.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
        return found


def _run(engine: sa.Engine, command: str, revision: str) -> None:
    from alembic import command as commands  # slow to import, and seldom needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with writing(engine) as db:  # which on SQLite keeps others out
        if engine.dialect.name == "postgresql":
            db.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
        config.attributes["connection"] = db
        getattr(commands, command)(config, revision)
