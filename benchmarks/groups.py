"""What it costs to bring a directory's memberships to the hub, against the hub's own way.

    python benchmarks/groups.py

A million memberships of 100,000 users in 5,000 groups, and then one in a hundred of them another.
docs/performance.md says what is measured, and why so.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.user import User

from hub_groups.authenticator import with_groups
from hub_groups.config import HubGroups
from hub_groups.hub_writer import write_some
from hub_groups.memberships import MANAGER, MEMBER
from hub_groups.store import GroupStore

EACH = 10
"""Groups of a user."""
SIZE = 200
"""Members of a group, on average."""
CHANGED = 0.01
"""Of the memberships: half of these are removed, as many are new."""
SOURCE = "ldap"
SAID = ("from-login/a", "from-login/b")
"""The groups that a login tells."""
AT_A_TIME = 1000
"""Users whom the hub gets ready for its own `sync_groups`, which is not timed."""

Rolls = dict[str, dict[str, str]]


# -- a directory ------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What a directory says, and what it says when a little has changed.

    Attributes:
        moved: the users of which that is true.
    """

    users: tuple[str, ...]
    before: Rolls
    after: Rolls
    moved: frozenset[str]


def world(memberships: int) -> World:
    """Each user is in EACH groups, drawn at random; what changes is spread over all of them."""
    choose = random.Random(memberships)  # noqa: S311 - the same each time
    users = tuple(f"user{n:06d}" for n in range(max(1, memberships // EACH)))
    groups = [
        f"dept{n // 100:02d}/course{n:04d}" for n in range(max(2 * EACH, memberships // SIZE))
    ]
    before: Rolls = {group: {} for group in groups}
    for user in users:
        for group in choose.sample(groups, EACH):
            before[group][user] = MEMBER if before[group] else MANAGER  # the first manages it
    after = {group: dict(roll) for group, roll in before.items()}
    half = max(1, round(memberships * CHANGED / 2))
    pairs = [(user, group) for group, roll in before.items() for user in roll]
    moved = set()
    for user, group in choose.sample(pairs, half):
        del after[group][user]
        moved.add(user)
    while half:
        user, group = choose.choice(users), choose.choice(groups)
        if user not in before[group] and user not in after[group]:
            after[group][user] = MEMBER
            moved.add(user)
            half -= 1
    return World(users, before, after, frozenset(moved))


def by_user(roll: Rolls, users: Collection[str]) -> dict[str, list[str]]:
    """The groups of each of these users."""
    found: dict[str, list[str]] = {user: [] for user in users}
    for group, members in roll.items():
        for user in members:
            if user in found:
                found[user].append(group)
    return found


# -- a hub's database -------------------------------------------------------------------------


def hub_database(file: Path, users: Sequence[str]) -> Any:
    """The session of a hub that knows all users, and no groups."""
    db = orm.new_session_factory(f"sqlite:///{file}")()
    db.execute(
        sa.insert(orm.User.__table__),
        [{"id": n, "name": name, "admin": False} for n, name in enumerate(users, 1)],
    )
    db.commit()
    return db


def seats(db: Any) -> int:
    """How many memberships the hub has."""
    found = db.scalar(sa.select(sa.func.count()).select_from(orm.user_group_map))
    db.rollback()
    return int(found)


def hub_users(db: Any, names: Sequence[str]) -> Iterator[User]:
    """As the hub has them in memory when they log in."""
    for start in range(0, len(names), AT_A_TIME):
        some = names[start : start + AT_A_TIME]
        found = {one.name: one for one in db.query(orm.User).filter(orm.User.name.in_(some)).all()}
        ready = [User(found[name], {}, db) for name in some]
        db.commit()  # the row for each one's default server
        yield from ready


# -- what is measured -------------------------------------------------------------------------


@dataclass
class Took:
    """Seconds, and the CPU's in this process; all threads.

    Attributes:
        longest: of one user's.
    """

    wall: float = 0.0
    cpu: float = 0.0
    longest: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


@dataclass
class Loop:
    """How long the event loop was held, in ms of wall time and of its thread's CPU time."""

    holds: list[tuple[float, float]] = field(default_factory=list)

    def watch(self, coroutine: Awaitable[Any]) -> Awaitable[Any]:
        """The same, each of its steps timed from where it goes on to where it waits again."""
        return _Watched(coroutine, self.holds)


@dataclass
class _Watched:
    coroutine: Awaitable[Any]
    holds: list[tuple[float, float]]

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.coroutine.__await__()
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                waits_for = next(steps)
            except StopIteration as end:
                return end.value
            finally:
                held = time.perf_counter() - wall, time.thread_time() - cpu
                self.holds.append((1000 * held[0], 1000 * held[1]))
            yield waits_for


@dataclass(frozen=True)
class Brought:
    """What one sync took: the store's part, and the hub's."""

    store: Took
    hub: Took

    @property
    def wall(self) -> float:
        return self.store.wall + self.hub.wall

    @property
    def cpu(self) -> float:
        return self.store.cpu + self.hub.cpu


def bring(store: GroupStore, db: Any, roll: Rolls, loop: Loop) -> Brought:
    """All that the directory says, to the store and from there to the hub."""
    took = Brought(Took(), Took())
    gc.collect()
    gc.freeze()  # what this benchmark has made is no garbage of a hub
    with took.store.timed():
        store.replace_source(SOURCE, roll)
    app = SimpleNamespace(db=db)

    async def write_all() -> None:
        while await loop.watch(write_some(app, store)):  # noqa: ASYNC110
            await asyncio.sleep(0)  # as hub_writer.keep_writing does

    with took.hub.timed():
        asyncio.run(write_all())
    return took


def hub_sync(db: Any, groups: dict[str, list[str]]) -> Took:
    """JupyterHub's own way to the same, one user after the other."""
    took = Took()
    for user in hub_users(db, list(groups)):
        before = took.wall
        with took.timed():
            user.sync_groups(groups[user.name])
        took.longest = max(took.longest, took.wall - before)
    return took


def warm_up(folder: Path) -> None:
    """Once all of it, in databases of their own: a hub has long done everything once."""
    of = world(SIZE)
    store = GroupStore(f"sqlite:///{folder / 'warm.sqlite'}")
    db = hub_database(folder / "warm_hub.sqlite", of.users)
    for roll in (of.before, of.after, {}):
        bring(store, db, roll, Loop())
    hub_sync(db, by_user(of.before, of.users))
    store.close()
    db.close()


# -- logins -----------------------------------------------------------------------------------


class Provider(Authenticator):
    """Knows everybody at once, so that what is left is the hub's own work and ours."""

    async def authenticate(self, handler: Any, data: Any) -> Any:
        return data


def logins(url: str, db: Any, users: Sequence[str]) -> dict[str, float]:
    """By how much a login and a refresh take longer with the mixin than without, in ms; medians."""
    settings = HubGroups(db_url=url)
    ours = with_groups(Provider, settings)(manage_groups=True, login_service="Login")
    bare = Provider(manage_groups=True, login_service="Login")
    ready = {user.name: user for user in hub_users(db, users)}
    handler = SimpleNamespace(db=db, find_user=ready.get)
    found: dict[str, list[float]] = {"first": [], "login": [], "refresh": []}

    async def one(authenticator: Any, user: User, what: str) -> float:
        # As after a restart: the hub reads the user's groups from its database.
        db.expire(user.orm_user, ["groups"])
        model = {"name": user.name, "auth_state": None, "groups": list(SAID)}
        began = time.perf_counter()
        if what == "refresh":
            await authenticator.refresh_user(user, None)
        else:
            model = await authenticator.run_post_auth_hook(handler, model)
        if authenticator is bare:  # the hub itself reads them next: to compare, or for scopes
            assert {group.name for group in user.groups}
        took = 1000 * (time.perf_counter() - began)
        if what == "first" and authenticator is ours:
            user.sync_groups(model["groups"])
        return took

    async def all_of_them() -> None:
        for user in ready.values():
            for what, times in found.items():
                took = {kind: await one(kind, user, what) for kind in (bare, ours)}
                times.append(took[ours] - took[bare])

    asyncio.run(all_of_them())
    return {name: statistics.median(times) for name, times in found.items()}


def complete(db: Any, roll: Rolls) -> None:
    wanted = sum(len(members) for members in roll.values())
    if seats(db) != wanted:
        raise RuntimeError(f"{wanted} memberships, of which the hub has {seats(db)}")


# -- what is said -----------------------------------------------------------------------------


def measure(folder: Path, memberships: int, count: int) -> dict[str, float]:
    began = time.monotonic()

    def said(what: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {what}", flush=True)

    warm_up(folder)
    of = world(memberships)
    url = f"sqlite:///{folder / 'hub_groups.sqlite'}"
    store, loop = GroupStore(url), Loop()
    ours = hub_database(folder / "ours.sqlite", of.users)
    theirs = hub_database(folder / "theirs.sqlite", of.users)
    rows: dict[str, Brought] = {}
    hub: dict[str, Took] = {}
    steps = (("full", of.before, frozenset(of.users)), ("delta", of.after, of.moved))
    # First all of ours, then all of the hub's: neither has to read from disk again what it wrote.
    said("ready")
    for name, roll, _users in steps:
        rows[name] = bring(store, ours, roll, loop)
        complete(ours, roll)
        said(f"{name}: {rows[name].wall:.2f} s")
    added = logins(url, ours, random.Random(1).choices(of.users, k=count))  # noqa: S311
    said(", ".join(f"{name}: {ms:+.1f} ms" for name, ms in added.items()))
    for name, roll, users in steps:
        hub[name] = hub_sync(theirs, by_user(roll, sorted(users)))
        complete(theirs, roll)
        said(f"{name} by the hub's own way: {hub[name].wall:.1f} s")
    store.close()
    longest = max(loop.holds)
    return {
        "memberships": memberships,
        "users": len(of.users),
        "groups": len(of.before),
        **{
            f"{name}_{kind}": round(value, 3)
            for name, took in rows.items()
            for kind, value in (
                ("s", took.wall),
                ("cpu_s", took.cpu),
                ("store_s", took.store.wall),
                ("hub_s", took.hub.wall),
            )
        },
        "delta_share": round(rows["delta"].wall / rows["full"].wall, 4),
        "delta_cpu_share": round(rows["delta"].cpu / rows["full"].cpu, 4),
        "hub_sync_s": round(hub["full"].wall, 3),
        "hub_sync_cpu_s": round(hub["full"].cpu, 3),
        "hub_sync_delta_s": round(hub["delta"].wall, 3),
        "hub_sync_longest_ms": round(1000 * max(took.longest for took in hub.values()), 2),
        "login_added_ms": round(max(added.values()), 2),
        **{f"added_{name}_ms": round(value, 2) for name, value in added.items()},
        "longest_hold_ms": round(longest[0], 2),
        "longest_hold_cpu_ms": round(max(cpu for _wall, cpu in loop.holds), 2),
        "hold_p99_ms": round(statistics.quantiles([h[0] for h in loop.holds], n=100)[-1], 2),
        "held_s": round(sum(h[0] for h in loop.holds) / 1000, 3),
    }


def tell(found: dict[str, float]) -> None:
    heads = "".join(f"{head:>12}" for head in ("all, s", "CPU, s", "store, s", "hub, s", "its own"))
    print(f"\n{found['memberships']:,} memberships{'':6}{heads}")
    own = {"full": "hub_sync_s", "delta": "hub_sync_delta_s"}
    for name, words in (("full", "the first time"), ("delta", "1 % is another")):
        values = [found[f"{name}_{kind}"] for kind in ("s", "cpu_s", "store_s", "hub_s")]
        values.append(found[own[name]])
        print(f"{words:24}{''.join(f'{value:12.2f}' for value in values)}")
    print(
        f"\nthe change costs {100 * found['delta_share']:.1f} % of the first time"
        f" ({100 * found['delta_cpu_share']:.1f} % of its CPU time)"
        f"\nadded to a login that changes something: {found['added_first_ms']:.1f} ms,"
        f" nothing: {found['added_login_ms']:.1f} ms,"
        f" to a refresh: {found['added_refresh_ms']:.1f} ms"
        f"\nthe event loop was held for {found['longest_hold_ms']:.1f} ms at most"
        f" (CPU: {found['longest_hold_cpu_ms']:.1f}; p99 {found['hold_p99_ms']:.1f}),"
        f" {found['held_s']:.1f} s in all;"
        f" by the hub's own way for {found['hub_sync_longest_ms']:.1f} ms at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memberships", type=int, default=1_000_000)
    parser.add_argument("--logins", type=int, default=500, help="measured, three times each")
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--json", action="store_true", help="the last line is a JSON object")
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what the hub says of each change, and Alembic
    with tempfile.TemporaryDirectory(prefix="groups-", dir=options.folder) as name:
        found = measure(Path(name), options.memberships, options.logins)
    tell(found)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
