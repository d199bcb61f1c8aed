"""What Prometheus is told: which families there are, and their text.

Labels are groups, resources, windows and the like, of which there are as many as the policy has:
never a figure, and users only where the admin wants that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hub_groups import exposition
from hub_groups.exposition import COUNTER, Family, label

from .home_storage import FULL_SHARE
from .overview import GroupUse, Overview, Used
from .policy import WHOLE_HUB
from .requests import BURST
from .storage_view import StorageVitals
from .vitals import MemberUse, Vitals
from .windows import format_window

_UNITS = "cores of cpu, bytes of memory, currency per second of cost, else a count"
_LIMIT_UNITS = f"{_UNITS}; with a window, that times seconds"
_PREFIX = "jupyterhub_quota"
_CHANNELS = ("email", "webhook")
_STORAGE = "storage"


_GROUP, _LIMIT = ("group", "resource"), ("group", "resource", "window")
_KIND, _SHARED = ("mount", "kind"), ("mount", "group")
_MEMBER, _MEMBER_LIMIT = ("group", "user", "resource"), ("group", "user", "resource", "window")

IN_USE = Family(
    f"{_PREFIX}_in_use",
    f"What is charged now, with all groups below ({WHOLE_HUB} is the whole hub): {_UNITS}.",
    _GROUP,
)
USED = Family(
    f"{_PREFIX}_used_total",
    "What was charged since this process started, times seconds: core-seconds of cpu, byte-seconds "
    "of memory, currency of cost. Late corrections are not taken off.",
    _GROUP,
    COUNTER,
)
LIMIT = Family(
    f"{_PREFIX}_limit",
    f"A limit for a whole group, as it holds now: {_LIMIT_UNITS}.",
    _LIMIT,
)
LIMIT_USED = Family(
    f"{_PREFIX}_limit_used",
    f"What counts for a limit now or within its window: {_LIMIT_UNITS}.",
    _LIMIT,
)
LIMIT_RATIO = Family(
    f"{_PREFIX}_limit_used_ratio",
    "The share of a limit that is used; not of limits that are 0.",
    _LIMIT,
)
RUNS_OUT = Family(
    f"{_PREFIX}_limit_runs_out_timestamp_seconds",
    "When nothing is left of a budget, at the pace of the last 7 days; not of one that lasts.",
    _LIMIT,
)
MONTH_COST = Family(
    f"{_PREFIX}_month_cost",
    "The cost of this calendar month, in the hub's currency, corrections taken off.",
    ("group",),
)
MEMBER_IN_USE = Family(
    f"{_PREFIX}_member_in_use",
    "What is charged now to a member who has a server; of members, only where "
    f"c.HubQuotas.metrics_per_user is set: {_UNITS}.",
    _MEMBER,
)
MEMBER_LIMIT = Family(
    f"{_PREFIX}_member_limit",
    f"A limit for each member that holds for one who has a server: {_LIMIT_UNITS}.",
    _MEMBER_LIMIT,
)
MEMBER_LIMIT_USED = Family(
    f"{_PREFIX}_member_limit_used",
    f"What counts for a member's limit now or within its window: {_LIMIT_UNITS}.",
    _MEMBER_LIMIT,
)
MEMBER_LIMIT_RATIO = Family(
    f"{_PREFIX}_member_limit_used_ratio",
    "The share of a member's limit that is used; not of limits that are 0.",
    _MEMBER_LIMIT,
)
SESSIONS = Family(
    f"{_PREFIX}_sessions",
    "Servers that are charged now, by the hub or service that has them; reserved: they start.",
    ("hub", "state"),
)
ASKS = Family(f"{_PREFIX}_asks_open", "Members' requests for more that wait for an answer.")
UNSENT = Family(f"{_PREFIX}_notices_unsent", "Notices that are still to be sent.", ("channel",))
UNDELIVERABLE = Family(
    f"{_PREFIX}_notices_undeliverable",
    "Notices that could not be sent, and are not tried again.",
    ("channel",),
)
ENFORCER_UP = Family(
    f"{_PREFIX}_enforcer_up", "Whether some process warns people and stops servers at limits."
)
LEDGER_UP = Family(f"{_PREFIX}_ledger_up", "Whether the ledger's database can be reached.")
COMPUTED = Family(
    f"{_PREFIX}_computed_timestamp_seconds", "The instant that the figures of groups are of."
)
STORAGE_SIZE = Family(
    f"{_PREFIX}_storage_size_bytes", "The size of a file system with homes.", ("mount",)
)
STORAGE_FREE = Family(
    f"{_PREFIX}_storage_free_bytes", "What is free of a file system with homes.", ("mount",)
)
STORAGE_USED = Family(
    f"{_PREFIX}_storage_used_bytes",
    "What directories hold; kind is user (homes), group (shared directories), or other (of nobody "
    "whom the hub names).",
    _KIND,
)
STORAGE_LIMIT = Family(
    f"{_PREFIX}_storage_limit_bytes", "What the limits of directories allow together.", _KIND
)
STORAGE_FULL = Family(
    f"{_PREFIX}_storage_full_directories",
    f"Directories of which at least {FULL_SHARE:.0%} of the limit is used.",
    _KIND,
)
STORAGE_HEARD = Family(
    f"{_PREFIX}_storage_agent_heard_timestamp_seconds",
    "When a file system's agent was heard last.",
    ("mount",),
)
SHARED_USED = Family(
    f"{_PREFIX}_storage_shared_used_bytes", "What a group's shared directory holds.", _SHARED
)
SHARED_LIMIT = Family(
    f"{_PREFIX}_storage_shared_limit_bytes",
    "What a group's shared directory may hold; not of one without a limit.",
    _SHARED,
)

FAMILIES = (
    *(IN_USE, USED, LIMIT, LIMIT_USED, LIMIT_RATIO, RUNS_OUT, MONTH_COST),
    *(MEMBER_IN_USE, MEMBER_LIMIT, MEMBER_LIMIT_USED, MEMBER_LIMIT_RATIO),
    *(SESSIONS, ASKS, UNSENT, UNDELIVERABLE, ENFORCER_UP, LEDGER_UP, COMPUTED),
    *(STORAGE_SIZE, STORAGE_FREE, STORAGE_USED, STORAGE_LIMIT, STORAGE_FULL, STORAGE_HEARD),
    *(SHARED_USED, SHARED_LIMIT),
)


class Growth:
    """What each group used while this process lived, which only ever grows.

    The ledger's own totals are no counters: they go back when a server turns out to have ended
    earlier, and when somebody is given a credit. To Prometheus that would be a counter that
    started again from 0, and all that the group ever used would count as used at that moment.
    """

    def __init__(self) -> None:
        self._last: dict[str, Mapping[str, int]] | None = None
        self.used: dict[str, dict[str, int]] = {}
        """Amount x microseconds, by group and resource."""

    def add(self, groups: Mapping[str, GroupUse]) -> None:
        """What was used since the last call; of a group that is new since, all of it."""
        first = self._last is None
        last, self._last = self._last or {}, {name: use.total for name, use in groups.items()}
        for name, use in groups.items():
            before = use.total if first else last.get(name, {})
            mine = self.used.setdefault(name, {})
            for curve, total in use.total.items():
                mine[curve] = mine.get(curve, 0) + max(0, total - before.get(curve, 0))


class Samples(exposition.Samples):
    """Of these families."""

    def __init__(self) -> None:
        super().__init__(FAMILIES)


def say_groups(samples: Samples, seen: Overview, growth: Growth) -> None:
    """What the groups of an overview use. Those that have no limits and were not used this month,
    nor while this process lived, are left out: a hub has ever more of them."""
    for name, use in sorted(seen.groups.items()):
        used = growth.used.get(name, {})
        lately = use.month_cost or any((*use.use.values(), *used.values()))
        if lately or name in seen.held.policy.groups:
            _say_group(samples, label("group", name), use, used)


def _say_group(samples: Samples, group: str, use: GroupUse, used: Mapping[str, int]) -> None:
    for curve, total in use.total.items():
        amount = use.use.get(curve, 0)
        if curve.endswith(BURST) or not (total or amount):
            continue
        labels = f"{group},{label('resource', curve)}"
        samples.add(IN_USE, labels, _base(curve, amount))
        samples.add(USED, labels, _base(curve, used.get(curve, 0), over_time=True))
    for one in use.limits:
        labels = _say_limit(samples, (LIMIT, LIMIT_USED, LIMIT_RATIO), group, one)
        if one.runs_out is not None:
            samples.add(RUNS_OUT, labels, one.runs_out / 10**6)
    if use.total.get("cost"):
        samples.add(MONTH_COST, group, _base("cost", use.month_cost, over_time=True))


def _say_limit(
    samples: Samples, families: tuple[Family, Family, Family], whose: str, one: Used
) -> str:
    """Returns the labels of the limit."""
    curve, window = one.limit.kind.curve, one.limit.window
    labels = f"{whose},{label('resource', curve)}"
    if window:
        labels += f",{label('window', format_window(window))}"
    if curve != _STORAGE:  # what homes take is not measured, and 0 would be wrong
        for family, amount in zip(families, (one.limit.amount, one.used), strict=False):
            samples.add(family, labels, _base(curve, amount, over_time=bool(window)))
        if one.limit.amount:
            samples.add(families[2], labels, one.share)
    return labels


def say_members(samples: Samples, found: Iterable[MemberUse]) -> None:
    """What members use who have a server."""
    for member in found:
        user = label("user", member.user)
        for name, amounts in member.use.items():
            for curve, amount in amounts.items():
                if amount and not curve.endswith(BURST):
                    labels = f"{label('group', name)},{user},{label('resource', curve)}"
                    samples.add(MEMBER_IN_USE, labels, _base(curve, amount))
        for one in member.limits:
            whose = f"{label('group', one.limit.group)},{user}"
            _say_limit(samples, (MEMBER_LIMIT, MEMBER_LIMIT_USED, MEMBER_LIMIT_RATIO), whose, one)


def say_vitals(samples: Samples, found: Vitals) -> None:
    """How the ledger is doing."""
    for (hub, state), count in sorted(found.sessions.items()):
        samples.add(SESSIONS, f"{label('hub', hub)},{label('state', state)}", count)
    for channel in _CHANNELS:
        labels = label("channel", channel)
        samples.add(UNSENT, labels, found.unsent.get(channel, 0))
        samples.add(UNDELIVERABLE, labels, found.undeliverable.get(channel, 0))
    samples.add(ASKS, "", found.asks)
    samples.add(ENFORCER_UP, "", int(found.enforced))


def say_storage(samples: Samples, found: StorageVitals) -> None:
    """What file systems hold; never whose home."""
    for mount in found.mounts:
        on = label("mount", mount.name)
        samples.add(STORAGE_SIZE, on, mount.size)
        samples.add(STORAGE_FREE, on, mount.free)
        samples.add(STORAGE_HEARD, on, mount.at / 10**6)
        for kind, held in sorted(found.held.get(mount.name, {}).items()):
            labels = f"{on},{label('kind', kind)}"
            samples.add(STORAGE_USED, labels, held.used)
            samples.add(STORAGE_LIMIT, labels, held.promised)
            samples.add(STORAGE_FULL, labels, held.full)
    for one in found.shared:
        labels = f"{label('mount', one.mount)},{label('group', one.name)}"
        if one.used is not None:
            samples.add(SHARED_USED, labels, one.used)
        if one.applied is not None:
            samples.add(SHARED_LIMIT, labels, one.applied)


def _base(curve: str, amount: int, over_time: bool = False) -> float:
    """In base units: cores, bytes, currency per second, a count; times seconds."""
    unit = {"cpu": 1000, "cost": 3600 * 10**6}.get(curve, 1) * (10**6 if over_time else 1)
    whole, rest = divmod(amount, unit)
    return amount / unit if rest else whole
