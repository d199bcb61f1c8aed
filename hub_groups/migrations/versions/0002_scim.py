"""What a directory sends by SCIM, and the tokens that it shows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "scim_user",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False, unique=True),
        sa.Column("local_key", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.BigInteger, nullable=False),
    )
    op.create_index("scim_user_by_external_id", "scim_user", ["external_id"])
    op.create_index("scim_user_by_local_part", "scim_user", ["local_key"])
    op.create_table(
        "scim_group",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False, unique=True),
        sa.Column("external_id", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.BigInteger, nullable=False),
    )
    op.create_index("scim_group_by_external_id", "scim_group", ["external_id"])
    op.create_table(
        "scim_member",
        sa.Column("group_id", sa.Text, sa.ForeignKey("scim_group.id"), primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey("scim_user.id"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("scim_member_by_user", "scim_member", ["user_id"])
    op.create_table(
        "scim_token",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger),
        sa.Column("expires", sa.BigInteger),
    )


def downgrade() -> None:
    for table in ("scim_token", "scim_member", "scim_group", "scim_user"):
        op.drop_table(table)
