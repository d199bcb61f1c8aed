"""The last refusals of each user."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("server_name", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False, server_default=""),
        sqlite_with_rowid=False,
    )
    op.create_index("refusal_by_user", "refusal", ["user_name", "at"])
    op.create_index("refusal_by_time", "refusal", ["at"])


def downgrade() -> None:
    op.drop_table("refusal")
