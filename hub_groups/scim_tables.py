"""The tables of what a directory sends by SCIM. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

from .schema import metadata

scim_user = sa.Table(
    "scim_user",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_name", sa.Text, nullable=False),  # as it was sent
    sa.Column("name_key", sa.Text, nullable=False, unique=True),  # as it is compared
    sa.Column("local_key", sa.Text, nullable=False),  # what is before its @, as it is compared
    sa.Column("external_id", sa.Text),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # JSON, without what is worked out
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("modified", sa.BigInteger, nullable=False),
)
sa.Index("scim_user_by_external_id", scim_user.c.external_id)
sa.Index("scim_user_by_local_part", scim_user.c.local_key)

scim_group = sa.Table(
    "scim_group",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False, unique=True),
    sa.Column("external_id", sa.Text),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # JSON, without its members
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("modified", sa.BigInteger, nullable=False),
)
sa.Index("scim_group_by_external_id", scim_group.c.external_id)

scim_member = sa.Table(
    "scim_member",
    metadata,
    sa.Column("group_id", sa.Text, sa.ForeignKey("scim_group.id"), primary_key=True),
    sa.Column("user_id", sa.Text, sa.ForeignKey("scim_user.id"), primary_key=True),
    sqlite_with_rowid=False,
)
sa.Index("scim_member_by_user", scim_member.c.user_id)

scim_token = sa.Table(
    "scim_token",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # SHA-256 of the token, hexadecimal
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger),
    sa.Column("expires", sa.BigInteger),
)
