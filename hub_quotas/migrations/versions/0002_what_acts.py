"""Notices, orders to stop, the enforcer's lease, who a name is, and when a server was used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("stem", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("over_at", sa.BigInteger),
    )
    still_true = sa.text("over_at IS NULL")
    op.create_index(
        "notice_open",
        "notice",
        ["stem"],
        unique=True,
        sqlite_where=still_true,
        postgresql_where=still_true,
    )
    for name, where in (
        ("notice_current", "over_at IS NULL AND kind <> 'stopped'"),
        ("notice_stop", "kind = 'stopped'"),
    ):
        only = sa.text(where)
        op.create_index(name, "notice", ["at"], sqlite_where=only, postgresql_where=only)
    op.create_table(
        "delivery",
        sa.Column("notice", sa.Integer, sa.ForeignKey("notice.id"), primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index(
        "delivery_due", "delivery", ["next_at"], sqlite_where=unsent, postgresql_where=unsent
    )
    op.create_table(
        "stop_order",
        sa.Column("session", sa.Text, sa.ForeignKey("session.id"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "person",
        sa.Column("hub", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("user_name", sa.Text, nullable=False),
    )
    used_at = sa.Column("used_at", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("session", used_at)


def downgrade() -> None:
    op.drop_column("session", "used_at")
    for table in ("person", "lease", "stop_order", "delivery", "notice"):
        op.drop_table(table)
