"""The tables. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# What limits anything, entry by entry; the last one of a kind and name holds. Append-only, so it
# is the audit log too.
policy_entry = sa.Table(
    "policy_entry",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),  # group, plan, prices, rename
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("document", sa.Text),  # JSON; NULL where it was removed
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),  # page, api, cli, config
    sa.Column("why", sa.Text, nullable=False, server_default=""),
    sa.Column("source", sa.Text, nullable=False, server_default=""),  # the file that manages it
    sa.Column("address", sa.Text, nullable=False, server_default=""),  # from where it was changed
    sqlite_autoincrement=True,
)
sa.Index("policy_entry_by_name", policy_entry.c.kind, policy_entry.c.name, policy_entry.c.version)

# Where each resource stands in a point's state. For ever.
resource = sa.Table(
    "resource",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

subject = sa.Table(
    "subject",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("user_name", sa.Text, nullable=False),  # '' for a group itself, else a member of it
    sa.Column("group_name", sa.Text, nullable=False),
    sa.UniqueConstraint("user_name", "group_name"),
    sa.Index("subject_by_group", "group_name"),
)

point = sa.Table(
    "point",
    metadata,
    sa.Column("subject", sa.Integer, sa.ForeignKey("subject.id"), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),  # see ledger.pack
    sqlite_with_rowid=False,
)

overlay = sa.Table(
    "overlay",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("subject", sa.Integer, sa.ForeignKey("subject.id"), nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("rates", sa.Text, nullable=False),
    sa.Column("session", sa.Text, nullable=False),
)
sa.Index("overlay_by_subject", overlay.c.subject, overlay.c.until)

session = sa.Table(
    "session",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hub", sa.Text, nullable=False),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("server_name", sa.Text, nullable=False),  # '' is the default server
    sa.Column("group_name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),  # of the group at the time
    sa.Column("state", sa.Text, nullable=False),  # reserved, running, closed, voided
    sa.Column("charges", sa.Text, nullable=False),  # see ledger.Charge
    sa.Column("reserved_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Column("used_at", sa.BigInteger, nullable=False, server_default="0"),  # 0: not yet known
    sa.Column("profile", sa.Text, nullable=False, server_default=""),  # as its user chose it
    sqlite_with_rowid=False,
)
sa.Index("session_by_group", session.c.group_name, session.c.closed_at)
sa.Index("session_by_user", session.c.user_name, session.c.closed_at)
_open = session.c.closed_at.is_(None)
sa.Index("session_open", session.c.user_name, sqlite_where=_open, postgresql_where=_open)

correction = sa.Table(
    "correction",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("subject", sa.Integer, sa.ForeignKey("subject.id"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),  # amount x microseconds; outgrows 64 bits
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# What people are told; of each stem, one that is still true.
notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("stem", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # storage, and those of watch and more
    sa.Column("user_name", sa.Text, nullable=False),  # '' for all of the group
    sa.Column("group_name", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("over_at", sa.BigInteger),  # since when it is true no more
)
_true = notice.c.over_at.is_(None)
sa.Index("notice_open", notice.c.stem, unique=True, sqlite_where=_true, postgresql_where=_true)
# That a server was stopped is never over: without these, each look would read all that ever were.
_current = sa.and_(_true, notice.c.kind != sa.literal_column("'stopped'"))
_stop = notice.c.kind == sa.literal_column("'stopped'")
sa.Index("notice_current", notice.c.at, sqlite_where=_current, postgresql_where=_current)
sa.Index("notice_stop", notice.c.at, sqlite_where=_stop, postgresql_where=_stop)

# By e-mail and webhook; a row for each that is to be sent.
delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("notice", sa.Integer, sa.ForeignKey("notice.id"), primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),  # email, webhook
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.BigInteger),
)
_unsent = delivery.c.sent_at.is_(None)
sa.Index("delivery_due", delivery.c.next_at, sqlite_where=_unsent, postgresql_where=_unsent)

# Servers that are to stop; each hub stops its own.
stop_order = sa.Table(
    "stop_order",
    metadata,
    sa.Column("session", sa.Text, sa.ForeignKey("session.id"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
)


# By what name the ledger knows a hub's user: names change, the hub's numbers do not.
person = sa.Table(
    "person",
    metadata,
    sa.Column("hub", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("user_name", sa.Text, nullable=False),
)

# Members who ask for more, and the answers.
ask = sa.Table(
    "ask",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("group_name", sa.Text, nullable=False),
    sa.Column("limit_key", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),  # as in a policy: 80 per 7d
    sa.Column("until", sa.Text, nullable=False),  # as in a boost: a day or an hour
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # open, approved, declined, withdrawn
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("answered_by", sa.Text, nullable=False, server_default=""),
    sa.Column("answer", sa.Text, nullable=False, server_default=""),
    sa.Column("given", sa.Text, nullable=False, server_default=""),
    sa.Column("given_until", sa.Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
sa.Index("ask_by_state", ask.c.state, ask.c.answered_at)
sa.Index("ask_by_user", ask.c.user_name, ask.c.at)

# What file systems say. A mount is what one agent looks after; its name is that of the agent's
# service on the hub.
storage_mount = sa.Table(
    "storage_mount",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),  # when its agent was heard last
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes
    sa.Column("free", sa.BigInteger, nullable=False),
    sa.Column("backup", sa.Text),  # JSON, see storage_store.Backup; NULL where nothing is known
    sa.Column("problems", sa.Text, nullable=False, server_default="[]"),  # JSON: [at, sentence]
)

# A home, or the shared directory of a group, on a mount.
storage_use = sa.Table(
    "storage_use",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # user, group
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("mount", sa.Text, primary_key=True),
    sa.Column("used", sa.BigInteger),  # bytes; NULL where nobody can tell
    sa.Column("applied", sa.BigInteger),  # the limit that holds there; NULL for none
    sa.Column("problem", sa.Text, nullable=False, server_default=""),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("above", sa.BigInteger),  # since when more is there than the soft limit says
    sqlite_with_rowid=False,
)
sa.Index("storage_use_by_mount", storage_use.c.mount)
sa.Index(
    "storage_use_above",
    storage_use.c.mount,
    sqlite_where=storage_use.c.above.is_not(None),
    postgresql_where=storage_use.c.above.is_not(None),
)

# Whose home had more room for a while since it was full; the last one of each.
storage_rescue = sa.Table(
    "storage_rescue",
    metadata,
    sa.Column("user_name", sa.Text, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),  # bytes that it might hold meanwhile
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("storage_rescue_by_end", storage_rescue.c.until)

# What a directory held on a day (UTC), on days on which that changed.
storage_day = sa.Table(
    "storage_day",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("mount", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),  # since 1970
    sa.Column("used", sa.BigInteger, nullable=False),  # the most, of what was said that day
    sa.Column("last", sa.BigInteger, nullable=False),  # at the end of the day
    sqlite_with_rowid=False,
)

# What takes up the room in a home, which its owner has asked for: the last time on each mount.
storage_look = sa.Table(
    "storage_look",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # user
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("mount", sa.Text, primary_key=True),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False, server_default="0"),  # files, so far
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("answer", sa.Text),  # JSON, see storage_looks.Largest
    sqlite_with_rowid=False,
)
_unanswered = storage_look.c.answered_at.is_(None)
sa.Index(
    "storage_look_open",
    storage_look.c.asked_at,
    sqlite_where=_unanswered,
    postgresql_where=_unanswered,
)

# What a directory has held since it was charged last; see storage_costs.Held.
storage_held = sa.Table(
    "storage_held",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # user, group
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("mount", sa.Text, primary_key=True),
    sa.Column("hub", sa.Text, nullable=False),  # whose agent it is
    sa.Column("used", sa.BigInteger, nullable=False),  # bytes
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("held", sa.Text, nullable=False),  # bytes x microseconds; outgrows 64 bits
    sa.Column("owed", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("storage_held_due", storage_held.c.hub, storage_held.c.since)

# What a directory was charged in a month; from it, reports are made.
storage_charge = sa.Table(
    "storage_charge",
    metadata,
    sa.Column("group_name", sa.Text, primary_key=True),
    sa.Column("month", sa.Text, primary_key=True),  # in the hub's time zone: 2026-10
    sa.Column("user_name", sa.Text, primary_key=True),  # '' for the group's shared directory
    sa.Column("mount", sa.Text, primary_key=True),
    sa.Column("subjects", sa.Text, primary_key=True),  # JSON: as of a session
    sa.Column("pieces", sa.Text, nullable=False),  # JSON: [begin, end, bytes, cost an hour]
    sqlite_with_rowid=False,
)

# The last servers that somebody was refused, for when they ask for help: a few of each user.
refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("hub", sa.Text, nullable=False),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("server_name", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),  # of refusal.REFUSALS
    sa.Column("why", sa.Text, nullable=False, server_default=""),  # in English
    sqlite_with_rowid=False,
)
sa.Index("refusal_by_user", refusal.c.user_name, refusal.c.at)
sa.Index("refusal_by_time", refusal.c.at)
