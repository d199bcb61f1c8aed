"""Links, authors' keys, what readers agreed to, and counts, in a database. The only SQL."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from hub_groups.database import reading, writing
from hub_groups.migrate import MigratedDatabase, Migrations
from hub_groups.rows import upsert
from hub_groups.store import now
from hub_groups.words import _

from .addresses import LaunchError
from .launch import Launch, as_values, from_values
from .links import ALPHABET, ID_LENGTH, STORED, Link, Source, Terms
from .schema import (
    agreed,
    author_key,
    built_image,
    known_image,
    launch_count,
    revoked_token,
    stored_link,
)
from .tokens import key_id, read_public

LINKS = Migrations(Path(__file__).parent / "migrations", "share_links_version", "0001")

MOST_LINKS, MOST_KEYS = 1_000, 20
"""Of one user, that work."""

_LONGEST_LABEL = 200


class TooManyLinks(LaunchError):
    """Somebody has as many as anybody can have."""


@dataclass(frozen=True)
class Stored:
    """A link that is stored, for who made it.

    Attributes:
        at: when it was made, in seconds since 1970, UTC.
        revoked_by: who has taken it back; empty for nobody.
    """

    link: Link
    at: int
    revoked_by: str = ""


@dataclass(frozen=True)
class AuthorKey:
    """An author's public key.

    Attributes:
        at, revoked_at: seconds since 1970, UTC.
    """

    id: str
    public: str
    user: str
    label: str
    at: int
    revoked_at: int | None = None


@dataclass(frozen=True)
class Author:
    """Who has signed a link.

    Attributes:
        public: their key.
        revoked: whether that one link was taken back.
    """

    user: str
    public: str
    revoked: bool


class LinkStore(MigratedDatabase):
    """Of one hub."""

    def __init__(self, url: str, clock: Callable[[], int] = now) -> None:
        super().__init__(url, LINKS)
        self.clock = clock

    # -- stored links ----------------------------------------------------------------------------

    def make(
        self,
        launch: Launch,
        by: str,
        terms: Terms | None = None,
        label: str = "",
        source: Source | None = None,
        snapshot: str = "",
        also: Callable[[sa.Connection, str], None] = lambda _db, _id: None,
    ) -> Link:
        """Store a link.

        Args:
            by: the user who makes it.
            source, snapshot: as Link has them.
            also: called with the link's id, to write more in the same transaction.

        Raises:
            TooManyLinks: they have MOST_LINKS that work.
        """
        terms = terms or Terms()
        id = "".join(secrets.choice(ALPHABET) for _unused in range(ID_LENGTH))
        label = label[:_LONGEST_LABEL]
        link = Link(STORED, launch, terms, by, id, label, source=source, snapshot=snapshot)
        with writing(self.engine) as db:
            at = self.clock()
            mine = sa.select(sa.func.count()).where(stored_link.c.by == by, works(at))
            if (db.scalar(mine) or 0) >= MOST_LINKS:
                raise TooManyLinks(
                    _("You have {most} links already. Take back some that nobody needs.").format(
                        most=f"{MOST_LINKS:,}"
                    )
                )
            values = {
                "id": id,
                "launch": json.dumps(as_values(launch)),
                "label": link.label,
                "by": by,
                "at": at,
                "until": terms.until,
                "users": json.dumps(terms.users),
                "group": terms.group,
                "source": json.dumps(asdict(source)) if source else None,
                "snapshot": snapshot,
            }
            db.execute(sa.insert(stored_link), values)
            also(db, id)
        return link

    def link(self, id: str) -> Link | None:
        """The link with an id; None where there is none."""
        found = self.stored(id)
        return found.link if found else None

    def stored(self, id: str) -> Stored | None:
        """The same with what its maker sees of it."""
        with reading(self.engine) as db:
            row = db.execute(sa.select(stored_link).where(stored_link.c.id == id)).first()
        return _link(row) if row else None

    def links_of(self, user: str) -> list[Stored]:
        """What a user has made, the latest first: what works, and what was over lately."""
        query = sa.select(stored_link).where(stored_link.c.by == user)
        with reading(self.engine) as db:
            rows = db.execute(query.order_by(stored_link.c.at.desc()).limit(MOST_LINKS))
            return [_link(row) for row in rows]

    def revoke(self, id: str, by: str, anybodys: bool = False) -> bool:
        """Take a link back; whether there was one to take.

        Args:
            anybodys: whether it may be somebody else's: for admins.
        """
        here = [stored_link.c.id == id, stored_link.c.revoked_at.is_(None)]
        if not anybodys:
            here.append(stored_link.c.by == by)
        with writing(self.engine) as db:
            values = {"revoked_at": self.clock(), "revoked_by": by}
            return bool(db.execute(sa.update(stored_link).where(*here).values(values)).rowcount)

    # -- authors' keys, and what they have signed --------------------------------------------------

    def add_key(self, public: str, user: str, label: str = "") -> AuthorKey:
        """Let a user's books be signed with a key.

        Raises:
            LaunchError: it is no public key, or was given before.
            TooManyLinks: they have MOST_KEYS.
        """
        read_public(public)
        public = public.strip()
        with writing(self.engine) as db:
            key = AuthorKey(key_id(public), public, user, label[:_LONGEST_LABEL], self.clock())
            mine = (author_key.c.user == user, author_key.c.revoked_at.is_(None))
            count = db.scalar(sa.select(sa.func.count()).where(*mine)) or 0
            if count >= MOST_KEYS:
                raise TooManyLinks(
                    _("You have {most} keys already. Remove one that you do not use.").format(
                        most=MOST_KEYS
                    )
                )
            # Also one that was removed: whoever has its private part would be somebody again.
            if db.scalar(sa.select(author_key.c.id).where(author_key.c.id == key.id)):
                raise LaunchError(_("This key was given before. Make a new one."))
            db.execute(sa.insert(author_key), dict(key.__dict__))
        return key

    def author(self, key: str, token: str) -> Author | None:
        """Whose key has signed a link; None where nobody has such a key (any more).

        Args:
            key, token: the ids of the key and of the link.
        """
        with reading(self.engine) as db:
            row = db.execute(_AUTHOR, {"key": key, "token": token}).first()
        return Author(row[0], row[1], bool(row[2])) if row else None

    def keys_of(self, user: str) -> list[AuthorKey]:
        """A user's keys that work."""
        here = (author_key.c.user == user, author_key.c.revoked_at.is_(None))
        with reading(self.engine) as db:
            rows = db.execute(sa.select(author_key).where(*here).order_by(author_key.c.at))
            return [AuthorKey(**row._mapping) for row in rows]

    def remove_key(self, id: str, user: str) -> bool:
        """Links that were signed with it work no more; whether it was theirs."""
        mine = (author_key.c.id == id, author_key.c.user == user, author_key.c.revoked_at.is_(None))
        with writing(self.engine) as db:
            update = sa.update(author_key).where(*mine).values(revoked_at=self.clock())
            return bool(db.execute(update).rowcount)

    def revoke_token(self, id: str, by: str) -> None:
        """Take back one signed link."""
        with writing(self.engine) as db:
            db.execute(upsert(db, revoked_token), {"id": id, "by": by, "at": self.clock()})

    # -- readers -----------------------------------------------------------------------------------

    def agree(self, user: str, what: str) -> None:
        """Remember that a user has agreed to something (`links.agreement`)."""
        with writing(self.engine) as db:
            db.execute(upsert(db, agreed), {"user": user, "what": what, "at": self.clock()})

    def has_agreed(self, user: str, what: str) -> bool:
        """Whether they have."""
        with reading(self.engine) as db:
            return db.scalar(_AGREED, {"who": user, "to": what}) is not None

    def agrees_to_any(self, user: str) -> bool:
        """Whether there is anything that they have agreed to."""
        mine = sa.select(agreed.c.what).where(agreed.c.user == user).limit(1)
        with reading(self.engine) as db:
            return db.scalar(mine) is not None

    def forget_agreements(self, user: str) -> int:
        """Ask them again; how many there were."""
        with writing(self.engine) as db:
            return db.execute(sa.delete(agreed).where(agreed.c.user == user)).rowcount

    # -- images ------------------------------------------------------------------------------------

    def note_pulls(self, image: str, pulls: bool) -> None:
        """Remember whether a server of an image could pull content."""
        with writing(self.engine) as db:
            values = {"image": image, "pulls": pulls, "at": self.clock()}
            db.execute(upsert(db, known_image, "pulls", "at"), values)

    def pulls(self, image: str) -> bool | None:
        """Whether it could, the last time; None where nobody has tried."""
        with reading(self.engine) as db:
            here = known_image.c.image == image
            found: bool | None = db.scalar(sa.select(known_image.c.pulls).where(here))
        return found

    def note_built(self, repository: str, commit: str, image: str) -> None:
        """Remember the image that was made of a repository."""
        with writing(self.engine) as db:
            here = {"repository": repository, "commit": commit}
            values = {**here, "image": image, "at": self.clock()}
            db.execute(upsert(db, built_image, "image", "at"), values)

    def built(self, repository: str, commit: str) -> str:
        """The image that was made of a repository; empty for none."""
        here = (built_image.c.repository == repository, built_image.c.commit == commit)
        with reading(self.engine) as db:
            return str(db.scalar(sa.select(built_image.c.image).where(*here)) or "")

    def forget_built(self, image: str) -> None:
        """It can't be had any more: the next who needs it has it made again."""
        with writing(self.engine) as db:
            db.execute(sa.delete(built_image).where(built_image.c.image == image))

    # -- counts --------------------------------------------------------------------------------

    def count(self, counts: Mapping[tuple[str, int, str], int]) -> None:
        """Add to counts, by link, day (since 1970, UTC) and stage."""
        rows = [
            {"link": link, "day": day, "stage": stage, "count": count}
            for (link, day, stage), count in counts.items()
        ]
        if not rows:
            return
        with writing(self.engine) as db:
            db.execute(upsert(db, launch_count), [{**row, "count": 0} for row in rows])
            one = (launch_count.c[name] == sa.bindparam(f"_{name}") for name in _COUNTED)
            more = launch_count.c.count + sa.bindparam("_count")
            db.execute(
                sa.update(launch_count).where(*one).values(count=more),
                [{f"_{name}": row[name] for name in (*_COUNTED, "count")} for row in rows],
            )

    def counts(self, links: Iterable[str], since: int = 0) -> dict[str, dict[str, int]]:
        """By link and stage, from a day on."""
        query = (
            sa.select(launch_count.c.link, launch_count.c.stage, sa.func.sum(launch_count.c.count))
            .where(launch_count.c.link.in_(list(links)), launch_count.c.day >= since)
            .group_by(launch_count.c.link, launch_count.c.stage)
        )
        found: dict[str, dict[str, int]] = {}
        with reading(self.engine) as db:
            for link, stage, count in db.execute(query):
                found.setdefault(link, {})[stage] = int(count)
        return found


_COUNTED = ("link", "day", "stage")

# Built once, since each click asks them.
_AUTHOR = sa.select(
    author_key.c.user,
    author_key.c.public,
    sa.exists().where(revoked_token.c.id == sa.bindparam("token")),
).where(author_key.c.id == sa.bindparam("key"), author_key.c.revoked_at.is_(None))
_AGREED = sa.select(agreed.c.at).where(
    agreed.c.user == sa.bindparam("who"), agreed.c.what == sa.bindparam("to")
)


def works(at: int) -> sa.ColumnElement[bool]:
    """Whether a stored link does, at an instant."""
    until = stored_link.c.until
    return sa.and_(stored_link.c.revoked_at.is_(None), sa.or_(until.is_(None), until > at))


def _link(row: sa.Row[tuple[object, ...]]) -> Stored:
    link = Link(
        STORED,
        from_values(json.loads(row.launch)),
        Terms(row.until, tuple(json.loads(row.users)), row.group),
        row.by,
        row.id,
        row.label,
        row.revoked_at is not None,
        Source(**json.loads(row.source)) if row.source else None,
        row.snapshot,
    )
    return Stored(link, row.at, row.revoked_by)


@lru_cache
def open_store(url: str) -> LinkStore:
    """The one store of this process for a database."""
    return LinkStore(url)
