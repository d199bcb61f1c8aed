"""Slurm's accounts, users and their limits, from a dump of its accounting. Pure.

An account becomes a group below its parent's. `Grp...` holds for all that runs in an account and
below it, at every level, as limits of a group do here. `Max...` is what holds for each user of an
account, and of several on the way up only the nearest counts: so it is written where it makes no
smaller what is allowed below. A QOS that the dump has becomes a plan of the accounts whose default
it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..limits import GROUP, MEMBER, SERVER, parse_limit
from ..policy import WHOLE_HUB
from .report import ASIDE, CANNOT, DIFFERS, FOREVER, MAPS, Converted, Draft, Member, SourceError
from .slurm_dump import ACCOUNT, CLUSTER, PARENT, QOS, USER, Line, Option, read_dump
from .slurm_options import OPTIONS, Found, Unsaid, read_option

ROOT = "root"
_DEEPEST = 50
_ENDLESS = 2**63


@dataclass(frozen=True)
class _Limit:
    """What a line sets, and which one."""

    found: Found
    line: int
    place: str


@dataclass
class _User:
    name: str
    line: int
    own: dict[str, _Limit] = field(default_factory=dict)


@dataclass
class _Account:
    """An account with what its line says.

    Attributes:
        path: the group that it becomes; WHOLE_HUB for the root.
        own: what it sets for each user or job, by our key.
        alike: what all of its users set alike; accounts below don't have it from there.
        qos, default_qos: the names of all that it has, and of the one that jobs get.
        plan: of its QOS; `by_qos` what that sets for each user or job, which comes first.
    """

    name: str
    path: str
    line: int
    children: list[_Account] = field(default_factory=list)
    users: list[_User] = field(default_factory=list)
    own: dict[str, _Limit] = field(default_factory=dict)
    alike: dict[str, _Limit] = field(default_factory=dict)
    qos: tuple[str, ...] = ()
    default_qos: str = ""
    plan: str = ""
    by_qos: dict[str, int] = field(default_factory=dict)

    def below(self) -> Iterator[_Account]:
        """All accounts under this one."""
        for child in self.children:
            yield child
            yield from child.below()


def convert(text: str, window: str = "", until: str = FOREVER) -> Converted:
    """The policy and the memberships that say the same, as far as one can.

    Args:
        text: of the dump.
        window: of budgets (`month`, `30d`), which a dump does not have; without it there are none.
        until: the last day of what is set for one user alone: here that is a boost.

    Raises:
        SourceError: it can't be read.
    """
    return _Reader(window, until).read(read_dump(text))


class _Reader:
    def __init__(self, window: str, until: str) -> None:
        self.window, self.until = window, until
        self.draft = Draft()
        self.root = _Account(ROOT, WHOLE_HUB, 0)
        self.accounts = {ROOT: self.root}
        self.coordinators: list[tuple[str, str, int]] = []
        self.told: set[tuple[int, str]] = set()

    def read(self, lines: list[Line]) -> Converted:
        parent = self.root
        for line in lines:
            if line.kind == PARENT:
                parent = self._parent(line)
            elif line.kind == CLUSTER:
                self.root.line = line.number
                self._account_options(self.root, line)
            elif line.kind == ACCOUNT:
                self._account(line, parent)
            elif line.kind == USER:
                self._user(line, parent)
            elif line.kind == QOS:
                self._qos(line)
        self._plans(self.root, "")
        for account in self.accounts.values():
            self._first_the_qos(account)
            self._fold(account)
        every = list(self.accounts.values())
        for key in sorted({key for one in every for key in (*one.own, *one.alike)}):
            if key.startswith(SERVER):
                self._place(self.root, key, None, held=False)
            else:
                self._place_members(self.root, key, None)
        for account in self.accounts.values():
            self._exceptions(account)
            self._give_plan(account)
            self._note_untold(account)
        self._managers()
        return self.draft.finish()

    def note(self, kind: str, line: int, place: str, what: str, why: str = "") -> None:
        self.told.add((line, what))
        self.draft.note(kind, (place,), what, why, line)

    # -- lines -------------------------------------------------------------------------------------

    def _parent(self, line: Line) -> _Account:
        if line.name not in self.accounts:
            why = f"there is no account {line.name} before this line to be a parent."
            raise SourceError(why, line=line.number)
        options = {option.name: option.value for option in line.options}
        self.draft.unknown(options, (), (f"{PARENT} {line.name}",), line.number)
        return self.accounts[line.name]

    def _account(self, line: Line, parent: _Account) -> None:
        if line.name == ROOT:
            self._account_options(self.root, line)
            return
        if line.name in self.accounts:
            first = self.accounts[line.name].line
            why = (
                f"the account {line.name} stands here a second time; the first is in line {first}."
            )
            raise SourceError(why, line=line.number)
        name = line.name.replace("/", "-")
        path = name if parent is self.root else f"{parent.path}/{name}"
        if path.count("/") >= _DEEPEST:
            raise SourceError(f"there are {_DEEPEST} accounts and more above it.", line=line.number)
        account = _Account(line.name, path, line.number)
        self.accounts[line.name] = account
        parent.children.append(account)
        self._account_options(account, line)

    def _account_options(self, account: _Account, line: Line) -> None:
        place = f"{line.kind} {line.name}"
        for option in line.options:
            name = option.name.lower()
            if name == "defaultqos":
                account.default_qos = option.value
            elif name == "qos":
                names = (part.strip("+- ") for part in option.value.split(","))
                account.qos = tuple(part for part in names if part)
            else:
                for limit in self._limits(option, line, place):
                    key = limit.found.key
                    if key.startswith(GROUP):
                        self._say(account.path, limit)
                    elif key in account.own:
                        why = f"the line has {key} already: {account.own[key].found.what}."
                        self.note(CANNOT, line.number, place, option.text, why)
                    else:
                        account.own[key] = limit

    def _user(self, line: Line, parent: _Account) -> None:
        place = f"User {line.name}"
        if line.name == ROOT:
            self.note(ASIDE, line.number, place, "root", "Slurm's own administrator.")
            return
        user = _User(line.name, line.number)
        partition = next((o.value for o in line.options if o.name.lower() == "partition"), "")
        for option in line.options:
            self._user_option(option, line, place, user, partition)
        if parent is self.root:
            why = "who is in the root account alone is in no group."
            self.note(CANNOT, line.number, place, line.name, why)
            return
        parent.users.append(user)
        self.draft.members.add(Member(parent.path, line.name, "member"))

    def _user_option(
        self, option: Option, line: Line, place: str, user: _User, partition: str
    ) -> None:
        name = option.name.lower()
        if name == "coordinator":
            for account in option.value.split(","):
                self.coordinators.append((line.name, account.strip("+- '"), line.number))
        elif name == "defaultaccount":
            why = "who is in several groups chooses; else the first that has room is charged."
            self.note(ASIDE, line.number, place, option.text, why)
        elif name == "partition":
            why = "partitions are not known; the membership is taken, its limits are not."
            self.note(CANNOT, line.number, place, option.text, why)
        elif name in ("qos", "defaultqos"):
            why = "a plan is a group's, not one member's."
            self.note(CANNOT, line.number, place, option.text, why)
        elif name == "adminlevel":
            why = "no part of a policy: admins are the hub's (c.Authenticator.admin_users)."
            none = option.value.lower() in ("none", "")
            self.note(ASIDE if none else CANNOT, line.number, place, option.text, why)
        else:
            for limit in self._limits(option, line, place):
                key = limit.found.key.replace(f"{GROUP}.", f"{MEMBER}.", 1)
                if partition:
                    why = "it holds for one partition, and partitions are not known."
                    self.note(CANNOT, line.number, place, option.text, why)
                else:
                    user.own[key] = replace(limit, found=replace(limit.found, key=key))

    def _qos(self, line: Line) -> None:
        place = f"QOS {line.name}"
        limits: dict[str, str] = {}
        for option in line.options:
            if option.name.lower().startswith("grp"):
                why = "what a QOS has over all accounts is no group's; write it for one."
                self.note(CANNOT, line.number, place, option.text, why)
                continue
            for limit in self._limits(option, line, place):
                found = limit.found
                limits[found.key] = found.amount
                became = f"plan {line.name}: {found.key}: {found.amount}"
                if found.key.startswith(MEMBER):
                    why = f"{became}; in each account of theirs, and not in all of them together."
                    self.note(DIFFERS, line.number, place, found.what, why)
                else:
                    self.note(MAPS, line.number, place, found.what, became)
        if limits:
            self.draft.plans[line.name] = {"limits": limits}

    def _limits(self, option: Option, line: Line, place: str) -> Iterator[_Limit]:
        """What an option sets. What it does not is noted."""
        told = list(read_option(option, self.window))
        if not told:
            self.draft.unknown({option.name: option.value}, OPTIONS, (place,), line.number)
        for one in told:
            if isinstance(one, Unsaid):
                self.note(one.kind, line.number, place, one.what, one.why)
            else:
                yield _Limit(one, line.number, place)

    def _say(self, group: str, limit: _Limit, but: str = "") -> None:
        found = limit.found
        why = " ".join(part for part in (found.but, but) if part)
        self.told.add((limit.line, found.what))
        self.draft.say(
            group, found.key, found.amount, (limit.place,), found.what, why, line=limit.line
        )

    # -- what it comes to --------------------------------------------------------------------------

    def _first_the_qos(self, account: _Account) -> None:
        """What a QOS sets is not asked of an account, nor of its users."""
        for held in (account.own, *(user.own for user in account.users)):
            for key in sorted(account.by_qos.keys() & held.keys()):
                # What an account has goes on to hold in those below that have another QOS.
                limit = held[key] if held is account.own else held.pop(key)
                why = f"not in force there: the QOS {account.plan} sets that, and comes first."
                self.note(ASIDE, limit.line, limit.place, limit.found.what, why)

    def _fold(self, account: _Account) -> None:
        """What all users of an account have alike is the account's."""
        for key in sorted({key for user in account.users for key in user.own}):
            own = [user.own.get(key) for user in account.users]
            first = own[0]
            if first and all(one and one.found.amount == first.found.amount for one in own):
                what = (
                    f"{first.found.what} of all {len(own)} users" if own[1:] else first.found.what
                )
                but = " ".join(filter(None, (first.found.but, "users who come later have it too.")))
                account.alike[key] = replace(first, found=replace(first.found, what=what, but=but))
                for user in account.users:
                    del user.own[key]

    def _most_below(self, account: _Account, key: str, above: _Limit | None) -> int:
        """The largest amount that somebody may have in the accounts below; _ENDLESS for no limit.

        Args:
            above: what holds in them where they set nothing.
        """
        most = -1
        for child in account.children:
            inherited = child.own.get(key) or above
            limit = child.alike.get(key) or inherited
            if child.users or not child.children:
                here = limit.found.size if limit else _ENDLESS
                most = max(most, child.by_qos.get(key, here))
            own = (user.own[key].found.size for user in child.users if key in user.own)
            most = max(most, self._most_below(child, key, inherited), *own)
        return most

    def _place(self, account: _Account, key: str, above: _Limit | None, held: bool) -> None:
        """Write a limit of servers where it does not hold for what is allowed more below.

        Args:
            above: what holds for the account where it sets nothing.
            held: whether that is written above already.
        """
        inherited = account.own.get(key) or above
        limit = account.alike.get(key) or inherited
        held = held and inherited is above
        own = limit is not above or any(key in user.own for user in account.users)
        if limit and (own or not held) and key not in account.by_qos:
            if self._most_below(account, key, inherited) <= limit.found.size:
                self._say(account.path, limit)
                held = held or limit is inherited
            elif account.users:
                self._note_more_below(account, limit)
        for child in account.children:
            self._place(child, key, inherited, held)

    def _note_more_below(self, account: _Account, limit: _Limit) -> None:
        why = f"below {account.path} more is allowed, and a limit here would hold there."
        self.note(CANNOT, limit.line, limit.place, limit.found.what, why)

    def _note_untold(self, account: _Account) -> None:
        for limit in account.own.values():
            if (limit.line, limit.found.what) not in self.told:
                why = "it holds for nobody: what is below sets that again."
                self.note(ASIDE, limit.line, limit.place, limit.found.what, why)

    def _place_members(self, account: _Account, key: str, above: _Limit | None) -> None:
        """Write a limit of each user at the accounts that have users: elsewhere it would hold for
        what they run in several of them together."""
        inherited = account.own.get(key) or above
        limit = account.alike.get(key) or inherited
        has_members = account is not self.root and (account.users or not account.children)
        if limit and has_members and key not in account.by_qos:
            if self._most_below(account, key, inherited) > limit.found.size:
                self._note_more_below(account, limit)
            else:
                together = "it also counts what members run in accounts below."
                self._say(account.path, limit, together if account.children else "")
        for child in account.children:
            self._place_members(child, key, inherited)

    def _exceptions(self, account: _Account) -> None:
        """What is set for single users: boosts of what all have."""
        below = {user.name for child in account.below() for user in child.users}
        for user in account.users:
            for key, limit in user.own.items():
                found = limit.found
                if user.name in below:
                    why = f"{user.name} is in accounts below too, where a boost would also hold."
                    self.note(CANNOT, limit.line, limit.place, found.what, why)
                    continue
                entry = self.draft.groups.get(account.path, {})
                if not self._boostable(entry.get("limits", {}).get(key, ()), found):
                    why = f"one member alone has no limit; {account.path} has no {key} for all."
                    self.note(CANNOT, limit.line, limit.place, found.what, why)
                    continue
                why = f"{found.what} in Slurm"
                self.draft.boost(account.path, key, found.amount, user.name, self.until, why)
                why = (
                    f"a boost of {user.name} in {account.path}: {key}: {found.amount}, "
                    f"which ends on {self.until}."
                )
                self.note(DIFFERS, limit.line, limit.place, found.what, why)

    def _boostable(self, texts: Iterable[str], found: Found) -> bool:
        window = parse_limit("", found.key, found.amount).window
        return any(parse_limit("", found.key, text).window == window for text in texts)

    def _plans(self, account: _Account, above: str) -> None:
        """Give accounts that have users the plan of their default QOS."""
        names = (account.default_qos,) if account.default_qos else account.qos
        place = f"Account {account.name}" if account is not self.root else "Cluster"
        what = f"QOS={','.join(names)}"
        name = above
        if account.default_qos and set(account.qos) - {account.default_qos}:
            why = "a group has one plan, and that of its default QOS is taken."
            self.note(CANNOT, account.line, place, f"QOS={','.join(account.qos)}", why)
        if len(names) > 1:
            why = "a group has one plan; there each job chooses one of several QOS."
            self.note(CANNOT, account.line, place, what, why)
            name = ""
        elif names:
            name = names[0]
            if name not in self.draft.plans:
                why = "what that QOS limits is not in the file: sacctmgr show qos says it."
                self.note(CANNOT, account.line, place, what, why)
        if name in self.draft.plans and account is not self.root and account.users:
            account.plan = name
            limits = self.draft.plans[name]["limits"].items()
            account.by_qos = {
                key: parse_limit("", key, text).amount
                for key, text in limits
                if not key.startswith(GROUP)
            }
        for child in account.children:
            self._plans(child, name)

    def _give_plan(self, account: _Account) -> None:
        if not account.plan:
            return
        entry = self.draft.groups.setdefault(account.path, {})
        entry["plan"] = account.plan
        limits = entry.get("limits", {})
        for key, text in self.draft.plans[account.plan]["limits"].items():
            # Of what an account and a QOS allow an account, both hold, and a group's own wins.
            amounts = [parse_limit("", key, one).amount for one in (text, *limits.get(key, ()))]
            if key.startswith(GROUP) and amounts[0] == min(amounts):
                limits.pop(key, None)
        but = "; it also holds for accounts below" if account.children else ""
        said = f"{account.path}: plan: {account.plan}{but}"
        what = f"Account {account.name}"
        self.note(DIFFERS if but else MAPS, account.line, what, f"QOS {account.plan}", said)

    def _managers(self) -> None:
        for user, name, line in self.coordinators:
            account = self.accounts.get(name)
            what = f"Coordinator={name}"
            if account is None or account is self.root:
                why = "there is no such account in the file, or it is the root, which is no group."
                self.note(CANNOT, line, f"User {user}", what, why)
                continue
            self.draft.members.discard(Member(account.path, user, "member"))
            self.draft.members.add(Member(account.path, user, "manager"))
            self.note(MAPS, line, f"User {user}", what, f"{user} manages {account.path} (roster).")
