"""Links, files that they hand on, authors' keys, what readers agreed to, and counts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stored_link",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("launch", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("users", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("revoked_by", sa.Text, nullable=False, server_default=""),
        sa.Column("source", sa.Text),
        sa.Column("snapshot", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("stored_link_by_maker", "stored_link", ["by", "at"])
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("link", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("snapshot_by_user", "snapshot", ["user"])
    op.create_table(
        "author_key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("author_key_by_user", "author_key", ["user"])
    op.create_table(
        "revoked_token",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "agreed",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "launch_count",
        sa.Column("link", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("stage", sa.Text, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.create_table(
        "built_image",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("commit", sa.Text, primary_key=True),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "known_image",
        sa.Column("image", sa.Text, primary_key=True),
        sa.Column("pulls", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in (
        "built_image",
        "known_image",
        "launch_count",
        "agreed",
        "revoked_token",
        "author_key",
        "snapshot",
        "stored_link",
    ):
        op.drop_table(table)
