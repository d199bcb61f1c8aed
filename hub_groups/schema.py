"""The tables. Times are seconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# Each row is what one source says of one user and group. On the way out of the hub rows are
# deleted, and what was is in `event`.
membership = sa.Table(
    "membership",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("added_by", sa.Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
# Of one source all, in order, without a look at the table: what it says next is compared with it.
sa.Index("membership_by_source", *(membership.c[c] for c in ("source", "group", "user", "role")))
# With the user, though it has that anyway: else SQLite takes it also for who is in which group, and
# looks all over the table where the primary key has it in order.
sa.Index("membership_by_group", membership.c.group, membership.c.user)
sa.Index(
    "membership_by_end",
    membership.c.until,
    sqlite_where=membership.c.until.isnot(None),
    postgresql_where=membership.c.until.isnot(None),
)

# Where the hub may not be as the rows say. `had` is whether it had this by us before; `stamp`
# changes with each change, so that who has brought the hub up to date knows whether it still is.
# What is asleep is of users whom the hub does not know yet.
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("had", sa.Boolean, nullable=False),
    sa.Column("stamp", sa.BigInteger, nullable=False),
    sa.Column("asleep", sa.Boolean, nullable=False, server_default=sa.false()),
    sqlite_with_rowid=False,
)
sa.Index(
    "pending_awake",
    pending.c.user,
    sqlite_where=pending.c.asleep.is_(False),
    postgresql_where=pending.c.asleep.is_(False),
)

# Who has left a group in the hub, for servers that are to stop after a while.
leaving = sa.Table(
    "leaving",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)

archived = sa.Table(
    "archived",
    metadata,
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
)

# The audit log; append-only.
event = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),  # a user, a service, or a source
    sa.Column("via", sa.Text, nullable=False),  # page, api, hub, cli, sync
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False, server_default=""),
    sa.Column("user", sa.Text, nullable=False, server_default=""),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),  # JSON
    sqlite_autoincrement=True,
)
sa.Index("event_by_group", event.c.group, event.c.id)
sa.Index("event_by_user", event.c.user, event.c.id)

# How the last run of each source went.
run = sa.Table(
    "run",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("good_at", sa.BigInteger),  # the last one that went well
    sa.Column("took_ms", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text, nullable=False, server_default=""),
    sa.Column("added", sa.Integer, nullable=False, server_default="0"),
    sa.Column("removed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("changed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("size", sa.Integer, nullable=False, server_default="0"),  # memberships in all
    sa.Column("held", sa.Text, nullable=False, server_default=""),  # why it waits for an admin
)

join_link = sa.Table(
    "join_link",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("most", sa.Integer),  # how many may join; NULL for any number
    sa.Column("used", sa.Integer, nullable=False, server_default="0"),
    sa.Column("asks", sa.Boolean, nullable=False),  # whether a manager has to say yes
    sa.Column("member_until", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("revoked_by", sa.Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
sa.Index("join_link_by_group", join_link.c.group)

# Who has joined by which link, and who has asked to.
join_request = sa.Table(
    "join_request",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("link", sa.Integer, sa.ForeignKey("join_link.id"), nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # open, approved, declined, withdrawn
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("answered_by", sa.Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
sa.Index("join_request_by_group", join_request.c.group, join_request.c.state)
sa.Index("join_request_by_user", join_request.c.user)

# How claims become groups, as admins wrote it; the last one holds.
rules = sa.Table(
    "rules",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
