"""The tables. Times are seconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

stored_link = sa.Table(
    "stored_link",
    metadata,
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
sa.Index("stored_link_by_maker", stored_link.c.by, stored_link.c.at)

# Files that links hand on; their bytes are beside the database.
snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
sa.Index("snapshot_by_user", snapshot.c.user)

# Public keys of authors, whose books are built where this hub is not at hand.
author_key = sa.Table(
    "author_key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("public", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)
sa.Index("author_key_by_user", author_key.c.user)

# Signed links that were taken back one by one.
revoked_token = sa.Table(
    "revoked_token",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)

# What readers have agreed to once and for all.
agreed = sa.Table(
    "agreed",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)

# How far launches got, by day: nobody's name.
launch_count = sa.Table(
    "launch_count",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)

# Images that were made of a repository at a commit.
built_image = sa.Table(
    "built_image",
    metadata,
    sa.Column("repository", sa.Text, primary_key=True),
    sa.Column("commit", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)

# Whether servers of an image could pull content, the last time that one tried; without a name, of
# a hub without images.
known_image = sa.Table(
    "known_image",
    metadata,
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("pulls", sa.Boolean, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
