"""The schema of the ledger, and how a database is brought to it."""

from __future__ import annotations

from pathlib import Path

from hub_groups.migrate import Migrations

VERSION_TABLE = "hub_quotas_version"
HEAD = "0004"

LEDGER = Migrations(Path(__file__).parent / "migrations", VERSION_TABLE, HEAD)
upgrade, downgrade, version = LEDGER.upgrade, LEDGER.downgrade, LEDGER.version
