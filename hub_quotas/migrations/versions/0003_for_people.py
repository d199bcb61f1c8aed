"""Who manages an entry of the policy, where a change came from, profiles, and asking for more."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for column in ("source", "address"):
        op.add_column("policy_entry", sa.Column(column, sa.Text, nullable=False, server_default=""))
    op.create_index("policy_entry_by_name", "policy_entry", ["kind", "name", "version"])
    op.create_index("subject_by_group", "subject", ["group_name"])
    op.add_column("session", sa.Column("profile", sa.Text, nullable=False, server_default=""))
    op.create_index("session_by_group", "session", ["group_name", "closed_at"])
    op.create_index("session_by_user", "session", ["user_name", "closed_at"])
    op.create_table(
        "ask",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("limit_key", sa.Text, nullable=False),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("answered_by", sa.Text, nullable=False, server_default=""),
        sa.Column("answer", sa.Text, nullable=False, server_default=""),
        sa.Column("given", sa.Text, nullable=False, server_default=""),
        sa.Column("given_until", sa.Text, nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("ask_by_state", "ask", ["state", "answered_at"])
    op.create_index("ask_by_user", "ask", ["user_name", "at"])


def downgrade() -> None:
    op.drop_table("ask")
    op.drop_index("session_by_user", "session")
    op.drop_index("session_by_group", "session")
    op.drop_column("session", "profile")
    op.drop_index("subject_by_group", "subject")
    op.drop_index("policy_entry_by_name", "policy_entry")
    for column in ("address", "source"):
        op.drop_column("policy_entry", column)
