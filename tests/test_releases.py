"""What earlier versions have written is read by this one: the data sets in `releases/`."""

from __future__ import annotations

import json
import runpy
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hubs import ROOT
from postgres import fresh_database

from hub_groups import scim_tables
from hub_groups.database import open_engine
from hub_groups.migrate import GROUPS
from hub_quotas import schema as quota_schema
from hub_quotas.migrate import LEDGER
from share_links import schema as link_schema
from share_links.store import LINKS

RELEASES = ROOT / "tests" / "releases"
MAKE = runpy.run_path(str(RELEASES / "make.py"))
MIGRATIONS = {"hub_groups": GROUPS, "hub_quotas": LEDGER, "share_links": LINKS}
SCHEMAS = {
    "hub_groups": scim_tables.scim_user.metadata,
    "hub_quotas": quota_schema.metadata,
    "share_links": link_schema.metadata,
}
SETS = sorted(path.name for path in RELEASES.iterdir() if (path / "said.json").exists())


def restore_files(name: str, folder: Path) -> dict[str, str]:
    """The databases of a data set, as files; returns their URLs."""
    for database in MIGRATIONS:
        with sqlite3.connect(folder / f"{database}.sqlite") as db:
            db.executescript((RELEASES / name / f"{database}.sql").read_text())
        db.close()
    return {database: f"sqlite:///{folder / database}.sqlite" for database in MIGRATIONS}


def copy_to_postgres(url: str, files: dict[str, str]) -> None:
    """All databases into one of PostgreSQL, at the schemas that they have."""
    there = open_engine(url)
    for name, file in files.items():
        here, schema = open_engine(file), sa.MetaData()
        replace(MIGRATIONS[name], head=MIGRATIONS[name].version(here)).upgrade(there)
        schema.reflect(here)
        with here.connect() as old, there.begin() as new:
            for table in reversed(schema.sorted_tables):  # migrations write rows of their own
                if table.name != MIGRATIONS[name].table:
                    new.execute(table.delete())
            for table in schema.sorted_tables:
                rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
                if not rows or table.name == MIGRATIONS[name].table:
                    continue
                same = sa.Table(table.name, sa.MetaData(), autoload_with=new)
                new.execute(same.insert(), rows)
                for key in same.primary_key:
                    if "nextval" in str(key.server_default and key.server_default.arg):
                        most = sa.select(sa.func.max(key)).scalar_subquery()
                        numbers = sa.func.pg_get_serial_sequence(table.name, key.name)
                        new.execute(sa.select(sa.func.setval(numbers, most)))
        here.dispose()
    there.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def restored(request, tmp_path):
    """Restores the data set of that name; returns the URL of each of its databases."""

    def restore(name: str) -> dict[str, str]:
        files = restore_files(name, tmp_path)
        if request.param == "sqlite":
            return files
        url = fresh_database(request.getfixturevalue("postgres_url"))
        copy_to_postgres(url, files)
        return dict.fromkeys(files, url)

    return restore


@pytest.mark.parametrize("name", SETS)
def test_what_an_earlier_version_said_is_said_still(restored, name):
    """Who is in which group and why, limits, use over time, servers, links, keys, counts."""
    stores = MAKE["Stores"](restored(name), MAKE["END"])
    before = json.loads((RELEASES / name / "said.json").read_text())
    now = MAKE["said"](stores)
    assert {key: now[key] for key in before} == before
    stores.close()


@pytest.mark.parametrize("name", SETS)
def test_it_goes_on_from_there(restored, name):
    """A server that ran through the upgrade ends; the next one is charged on the same curves."""
    stores = MAKE["Stores"](restored(name), MAKE["END"])
    used = ("earth/geo-101", "sam", "cpu", MAKE["START"] * 10**6)
    before = stores.quotas.used(*used, stores.clock.in_microseconds())
    stores.clock.at += 3600
    assert stores.quotas.close_session("s3", "stopped")
    assert stores.quotas.reserve("s6", "sam", "", ["earth/geo-101"], MAKE["SIZE"]).granted
    stores.clock.at += 3600
    after = stores.quotas.used(*used, stores.clock.in_microseconds())
    assert after - before == 1000 * 2 * 3600 * 10**6
    stores.groups.replace_source("roster:geo-101.csv", {"earth/geo-101": {"new": "member"}})
    assert [one.membership.user for one in stores.groups.standings(groups=["earth/geo-101"])] == [
        "new"
    ]
    kept = next(one.link for one in stores.links.links_of("prof-ada") if not one.link.revoked)
    stores.links.make(kept.launch, "prof-ada")
    assert len(stores.links.links_of("prof-ada")) == 3
    stores.close()


@pytest.mark.parametrize("name", SETS)
def test_it_has_the_schema_of_a_new_database_then(tmp_path, name):
    for database, url in restore_files(name, tmp_path).items():
        engine, migrations = open_engine(url), MIGRATIONS[database]
        migrations.upgrade(engine)
        with engine.connect() as db:
            context = MigrationContext.configure(db, opts={"version_table": migrations.table})
            assert compare_metadata(context, SCHEMAS[database]) == [], database
        engine.dispose()


def test_each_schema_is_in_a_data_set():
    """A migration without one: run tests/releases/make.py."""
    for database, migrations in MIGRATIONS.items():
        sets = ((RELEASES / name / f"{database}.sql").read_text() for name in SETS)
        row = f"INSERT INTO \"{migrations.table}\" VALUES('{migrations.head}')"
        assert any(row in text for text in sets), (database, migrations.head)
