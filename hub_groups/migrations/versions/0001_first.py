"""The first schema; what was before, without a version, is taken over."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    before = _take_before()
    membership = op.create_table(
        "membership",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("added_by", sa.Text, nullable=False, server_default=""),
        sqlite_with_rowid=False,
    )
    op.create_index("membership_by_source", "membership", ["source", "group", "user", "role"])
    op.create_index("membership_by_group", "membership", ["group", "user"])
    ends = sa.text("until IS NOT NULL")
    op.create_index(
        "membership_by_end", "membership", ["until"], sqlite_where=ends, postgresql_where=ends
    )
    op.create_table(
        "pending",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("had", sa.Boolean, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
        sa.Column("asleep", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_with_rowid=False,
    )
    awake = sa.column("asleep").is_(sa.false())
    op.create_index(
        "pending_awake", "pending", ["user"], sqlite_where=awake, postgresql_where=awake
    )
    op.create_table(
        "leaving",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "archived",
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False, server_default=""),
        sa.Column("user", sa.Text, nullable=False, server_default=""),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("event_by_group", "event", ["group", "id"])
    op.create_index("event_by_user", "event", ["user", "id"])
    op.create_table(
        "run",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("good_at", sa.BigInteger),
        sa.Column("took_ms", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sa.Column("added", sa.Integer, nullable=False, server_default="0"),
        sa.Column("removed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("changed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("size", sa.Integer, nullable=False, server_default="0"),
        sa.Column("held", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "join_link",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("code", sa.Text, nullable=False, unique=True),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("most", sa.Integer),
        sa.Column("used", sa.Integer, nullable=False, server_default="0"),
        sa.Column("asks", sa.Boolean, nullable=False),
        sa.Column("member_until", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("revoked_by", sa.Text, nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("join_link_by_group", "join_link", ["group"])
    op.create_table(
        "join_request",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("link", sa.Integer, sa.ForeignKey("join_link.id"), nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("answered_by", sa.Text, nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("join_request_by_group", "join_request", ["group", "state"])
    op.create_index("join_request_by_user", "join_request", ["user"])
    op.create_table(
        "rules",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    if before:
        op.bulk_insert(membership, before)


def _take_before() -> list[dict[str, object]]:
    """Out of the tables that there were before there were versions. What the hub was given then is
    not needed: what it has and no source says counts as set by hand, as it did."""
    db = op.get_bind()
    if not sa.inspect(db).has_table("membership"):
        return []
    old = db.execute(sa.text('SELECT "user", "group", source, role, since FROM membership'))
    rows = [
        {**row._mapping, "since": int(datetime.fromisoformat(row.since).timestamp())} for row in old
    ]
    op.drop_table("membership")
    op.drop_table("applied")
    return rows


def downgrade() -> None:
    for table in (
        *("rules", "join_request", "join_link", "run", "event"),
        *("archived", "leaving", "pending", "membership"),
    ):
        op.drop_table(table)
