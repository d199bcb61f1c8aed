"""What file systems say is used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "storage_mount",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("free", sa.BigInteger, nullable=False),
        sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
        sa.Column("backup", sa.Text),
    )
    op.create_table(
        "storage_use",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("used", sa.BigInteger),
        sa.Column("applied", sa.BigInteger),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("above", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("storage_use_by_mount", "storage_use", ["mount"])
    is_above = sa.text("above IS NOT NULL")
    op.create_index(
        *("storage_use_above", "storage_use", ["mount"]),
        sqlite_where=is_above,
        postgresql_where=is_above,
    )
    op.create_table(
        "storage_rescue",
        sa.Column("user_name", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("storage_rescue_by_end", "storage_rescue", ["until"])
    op.create_table(
        "storage_day",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "storage_look",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("answer", sa.Text),
        sqlite_with_rowid=False,
    )
    unanswered = sa.text("answered_at IS NULL")
    op.create_index(
        "storage_look_open",
        "storage_look",
        ["asked_at"],
        sqlite_where=unanswered,
        postgresql_where=unanswered,
    )
    op.create_table(
        "storage_held",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("held", sa.Text, nullable=False),
        sa.Column("owed", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("storage_held_due", "storage_held", ["hub", "since"])
    op.create_table(
        "storage_charge",
        sa.Column("group_name", sa.Text, primary_key=True),
        sa.Column("month", sa.Text, primary_key=True),
        sa.Column("user_name", sa.Text, primary_key=True),
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("subjects", sa.Text, primary_key=True),
        sa.Column("pieces", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in (
        "storage_charge",
        "storage_held",
        "storage_look",
        "storage_day",
        "storage_rescue",
        "storage_use",
        "storage_mount",
    ):
        op.drop_table(table)
