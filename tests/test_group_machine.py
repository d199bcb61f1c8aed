"""Sources, ends, renames, removals in any order: what was set by hand stays, what has lapsed goes.

A model says who is to be in which group; a hub of two lines has what the store tells it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub_groups import pending
from hub_groups.memberships import MANAGER, MANUAL, MEMBER
from hub_groups.people import (
    By,
    archive,
    archive_of,
    forget_user,
    put_members,
    remove_members,
    rename_user,
    restore,
)
from hub_groups.store import GroupStore

USERS = st.sampled_from(["ada", "bo", "cy"])
GROUPS = st.sampled_from(["a", "b", "a/c"])
ROLES = st.sampled_from([MEMBER, MANAGER])
SAID = st.dictionaries(GROUPS, ROLES)
BY = By("admin", "page")


class Membership(RuleBasedStateMachine):
    """The hub's groups against what everybody has said."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.at = 1_000_000
        url = f"sqlite:///{Path(self.folder.name) / 'groups.sqlite'}"
        self.store = GroupStore(url, clock=lambda: self.at)
        self.hub: dict[str, set[str]] = {"ada": set(), "bo": set()}  # cy comes later
        self.sources: dict[str, dict[str, dict[str, str]]] = {"ldap": {}, "roster:r": {}}
        self.logins: dict[str, dict[str, str]] = {}
        self.manual: dict[tuple[str, str], tuple[str, int | None]] = {}
        self.closed: set[str] = set()
        self.lost: set[tuple[str, str]] = set()
        self.killed = False

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    # -- the model -----------------------------------------------------------------------------

    def wanted(self, user: str) -> set[str]:
        found = set(self.logins.get(user, ()))
        for roll in self.sources.values():
            found |= {group for group, users in roll.items() if user in users}
        found |= {
            g
            for (u, g), (_r, end) in self.manual.items()
            if u == user and (not end or end > self.at)
        }
        return found - self.closed

    def has(self, user: str, groups: set[str]) -> None:
        """The hub has a user in these groups from now on."""
        before = self.hub.get(user, set())
        self.lost |= {(user, group) for group in before - groups}
        self.hub[user] = groups

    def deliver(self, most: int = 10_000, killed: bool = False) -> None:
        """What `hub_writer` does, in a hub that may be killed before it says that it has."""
        while pairs := pending.take(self.store, most):
            known = [pair for pair in pairs if pair.user in self.hub]
            left = set()
            for pair in known:
                here = self.hub[pair.user]
                if pair.wanted:
                    here = here | {pair.group}
                elif pair.group in here:
                    here = here - {pair.group}
                    left.add(pair)
                self.has(pair.user, here)
            if killed:
                return
            pending.settle(self.store, known, left, [p for p in pairs if p.user not in self.hub])
        self.killed = False

    # -- what happens --------------------------------------------------------------------------

    @rule(source=st.sampled_from(["ldap", "roster:r"]), data=st.data())
    def a_source_says(self, source: str, data: st.DataObject) -> None:
        roll = data.draw(st.dictionaries(GROUPS, st.dictionaries(USERS, ROLES)))
        self.store.replace_source(source, roll)
        self.sources[source] = roll

    @rule(user=USERS, said=st.none() | SAID, settled=st.booleans())
    def login(self, user: str, said: dict[str, str] | None, settled: bool) -> None:
        is_new = user not in self.hub
        here = self.hub.setdefault(user, set())
        found = self.store.sync_user(user, here, "idp:x", said, is_new=is_new)
        if said is not None:
            self.logins[user] = said
        if settled:  # else the hub was killed before it wrote that
            self.has(user, set(found.groups))
            assert self.hub[user] == self.wanted(user)

    @rule(user=USERS, group=GROUPS, role=ROLES, end=st.none() | st.integers(1, 50))
    def put_by_hand(self, user: str, group: str, role: str, end: int | None) -> None:
        until = self.at + end if end else None
        put_members(self.store, group, [user], BY, role, until)
        self.manual[user, group] = role, until

    @rule(user=USERS, group=GROUPS)
    def remove_by_hand(self, user: str, group: str) -> None:
        remove_members(self.store, group, [user], BY)
        self.manual.pop((user, group), None)

    @precondition(lambda self: self.hub)
    @rule(user=USERS, group=GROUPS)
    def in_the_hubs_own_admin_page(self, user: str, group: str) -> None:
        """Where the hub is up to date: what else is on its way there is not known to anybody."""
        if user not in self.hub or group in self.closed:
            return
        self.deliver()
        here = self.hub[user]
        if group in here:
            self.has(user, here - {group})
            self.manual.pop((user, group), None)
        else:
            self.has(user, here | {group})
            self.manual[user, group] = MEMBER, None
        self.has(user, set(self.store.sync_user(user, self.hub[user]).groups))

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.at += seconds
        self.manual = {k: v for k, v in self.manual.items() if not v[1] or v[1] > self.at}

    @rule(old=USERS, new=USERS)
    def rename(self, old: str, new: str) -> None:
        if old not in self.hub or new in self.hub:
            return
        self.deliver()
        self.hub[new] = self.hub.pop(old)
        self.lost = {(u, g) for u, g in self.lost if u != old}
        rename_user(self.store, old, new)
        for (user, group), what in list(self.manual.items()):
            if user == old:
                del self.manual[user, group]
                self.manual[new, group] = what

    @rule(user=USERS)
    def delete(self, user: str) -> None:
        if user not in self.hub:
            return
        del self.hub[user]
        self.lost = {(u, g) for u, g in self.lost if u != user}  # their servers went with them
        forget_user(self.store, user)
        self.manual = {k: v for k, v in self.manual.items() if k[0] != user}

    @rule(group=GROUPS)
    def archive_or_restore(self, group: str) -> None:
        if group in self.closed:
            restore(self.store, group, BY)
            self.closed.remove(group)
        else:
            archive(self.store, group, BY)
            self.closed.add(group)

    # -- what always holds ---------------------------------------------------------------------

    @rule()
    def the_hub_is_told(self) -> None:
        self.deliver(most=2)
        for user, here in self.hub.items():
            merged = self.store.sync_user(user, here)
            assert merged.groups == self.wanted(user), user
            self.has(user, set(merged.groups))
        left = set(pending.left_before(self.store, self.at))
        assert {(u, g) for u, g in self.lost if g not in self.hub.get(u, {g})} <= left

    @precondition(lambda self: not self.killed)
    @rule()
    def the_hub_is_killed_while_it_is_told(self) -> None:
        """But not twice for the same pair: it may then lose one that it was never known to have."""
        self.deliver(killed=True)
        self.killed = True

    @invariant()
    def nothing_by_hand_is_lost(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = {
            (s.membership.user, s.membership.group): (s.membership.role, s.membership.until)
            for s in self.store.standings()
            if s.membership.source == MANUAL
        }
        assert rows == self.manual
        assert set(archive_of(self.store)) == self.closed


TestMembership = Membership.TestCase
TestMembership.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
