"""Reports of a group and a month: read from the sessions, and as CSV.

By sessions, not by curves: they are kept for ever, and say by whom and by which profile. To the
smallest unit it is the same, but for credits, which only the curves have.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from itertools import chain
from typing import IO, Any, TextIO

from .costs import (
    COST,
    Credit,
    Report,
    Use,
    cut,
    exactly,
    month_span,
    print_month,
    report,
)
from .ledger import added
from .limits import STORAGE
from .lineage import PARENT, RENAMED, ever_below
from .policy import WHOLE_HUB, Policy
from .requests import BURST, Amounts
from .sessions import read_charges
from .storage_charges import Charged, charged_in
from .storage_costs import Stretch
from .store import QuotaStore
from .transaction import Transaction

_GROUPS_AT_ONCE = 500

_OF_GROUPS = (
    "SELECT id, user_name, server_name, group_name, profile, charges, closed_at, reserved_at"
    " FROM session WHERE group_name IN ({0}) AND reserved_at < ?"
)
_SESSIONS = (
    f"{_OF_GROUPS} AND closed_at > ? UNION ALL {_OF_GROUPS} AND closed_at IS NULL"
    " ORDER BY group_name, reserved_at, id"
)

_CREDITS = (
    "SELECT c.at, s.user_name, s.group_name, c.resource, c.amount, c.who, c.why"
    " FROM correction c JOIN subject s ON s.id = c.subject"
    " WHERE c.at > ? AND c.at <= ? ORDER BY c.id"
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read_report(store: QuotaStore, group: str, month: date) -> Report:
    """A month of a group with all that is below it, or of WHOLE_HUB, up to now.

    Reads session by session; what it keeps is as large as there are members and groups.
    """
    with store.db.read() as tx:
        scope = _scope(store, tx, group, month)
        uses = chain(_uses(tx, scope), _storage_uses(tx, scope))
        return report(group, month, scope.until, store.zone, uses, scope.credits)


def write_csv(store: QuotaStore, group: str, month: date, out: TextIO) -> None:
    """The same as CSV: a row for each stretch of a session in which it was charged for the same,
    for each home and shared directory, and for each credit of the group itself. All rows together
    are what there is to pay.

    By stretch and not by member: from these, spreadsheets make sums by member, profile or day
    themselves, and whoever doubts a sum sees what it is made of. `cost_units` is exact, in
    micro-currency per hour x microseconds.
    """
    with store.db.read() as tx:
        scope = _scope(store, tx, group, month)
        names = [row[0] for row in tx.all("SELECT name FROM resource ORDER BY position")]
        used = [name for name in names if name != COST and not name.endswith(BURST)]
        with closing(_stored(tx, scope)) as stored:
            used += [STORAGE] if next(stored, None) else []
        columns = [_COLUMNS.get(name, f"{name}_hours") for name in used]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*_HEAD, *columns, "cost", "cost_units", "note"])
        for use in _uses(tx, scope):
            about = (use.session, use.user, use.server, use.group, use.profile)
            when = (_iso(use.begin), _iso(use.end))
            writer.writerow(["use", *map(_plain, about), *when, *_amounts(use.used, used), ""])
        for one, _below, stretches in _stored(tx, scope):
            total = added(stretch.total for stretch in stretches)
            about = ("", one.user, "", one.group, "")
            when = (_iso(stretches[0].begin), _iso(stretches[-1].end))
            note = _plain(one.mount)
            writer.writerow([STORAGE, *map(_plain, about), *when, *_amounts(total, used), note])
        for credit in scope.credits:
            if (credit.user, credit.group) == ("", group):
                taken = _amounts({credit.resource: -credit.amount}, used)
                at = _iso(credit.at)
                note = _plain(f"{credit.who}: {credit.why}")
                writer.writerow(["credit", "", "", "", _plain(group), "", at, at, *taken, note])


def csv_file(store: QuotaStore, group: str, month: date) -> IO[bytes]:
    """`write_csv` into a file that is nowhere once it is closed: nobody holds the ledger's view for
    as long as a browser takes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write_csv(store, group, month, text)
    text.detach().seek(0)
    return file


def file_name(group: str, month: date) -> str:
    """Of a report, for any system."""
    name = "hub" if group == WHOLE_HUB else re.sub(r"[^A-Za-z0-9._-]+", "-", group).strip("-.")
    return f"{name or 'group'}-{print_month(month)}.csv"


_HEAD = ("kind", "session", "user", "server", "group", "profile", "begin", "end")
_COLUMNS = {
    "memory": "memory_gib_hours",
    "servers": "server_hours",
    STORAGE: "storage_gib_hours",
}


def _amounts(used: Amounts, names: Iterable[str]) -> list[str]:
    cost = used.get(COST, 0)
    return [*(exactly(name, used.get(name, 0)) for name in names), exactly(COST, cost), str(cost)]


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _iso(at: int) -> str:
    when = datetime.fromtimestamp(at // 10**6, timezone.utc).replace(microsecond=at % 10**6)
    return when.isoformat().replace("+00:00", "Z")


def charged_groups(store: QuotaStore) -> list[str]:
    """All groups that anything was ever charged to, by name; without WHOLE_HUB."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT group_name FROM subject WHERE user_name = '' AND group_name <> ?"
            " ORDER BY group_name",
            WHOLE_HUB,
        )
    return [row[0] for row in rows]


# -- what a report is made of ------------------------------------------------------------------


@dataclass(frozen=True)
class _Scope:
    """What a report is about.

    Attributes:
        subject: the group's; None where all sessions count.
        names: the groups of which to look at the sessions.
        groups: all subjects that are groups, by id.
        begin, until: of the month, no later than the present.
    """

    group: str
    month: date
    subject: int | None
    names: Sequence[str]
    groups: dict[int, str]
    begin: int
    until: int
    present: int
    credits: Sequence[Credit]


def _scope(store: QuotaStore, tx: Transaction, group: str, month: date) -> _Scope:
    policy, present = store.policies.read(tx), store.present(tx)
    begin, end = month_span(month, store.zone)
    until = max(begin, min(end, present))
    rows = tx.all("SELECT id, group_name FROM subject WHERE user_name = ''")
    groups: dict[int, str] = {row[0]: row[1] for row in rows}
    ids = {name: id for id, name in groups.items()}
    names = ever_below(group, ids.keys(), _history(tx))
    return _Scope(
        group=group,
        month=month,
        # Sessions from before the whole hub had a curve count for it too.
        subject=None if group == WHOLE_HUB else ids.get(group, 0),
        names=sorted(names & ids.keys()),
        groups=groups,
        begin=begin,
        until=until,
        present=present,
        credits=list(_credits(tx, policy, group, begin, until)),
    )


def _history(tx: Transaction) -> Iterator[tuple[str, str, str]]:
    rows = tx.all(
        "SELECT kind, name, document FROM policy_entry WHERE kind = 'rename'"
        " OR (kind = 'group' AND document LIKE ?) ORDER BY version",
        '%"parent"%',
    )
    for kind, name, document in rows:
        value: Any = json.loads(document)
        if kind == "rename":
            yield RENAMED, name, value
        elif value.get("parent"):
            yield PARENT, name, value["parent"]


def _credits(tx: Transaction, policy: Policy, group: str, begin: int, end: int) -> Iterator[Credit]:
    for at, user, of, resource, amount, who, why in tx.all(_CREDITS, begin, end):
        if group == WHOLE_HUB or group in policy.path(of):
            yield Credit(at, user, of, resource, int(amount), who, why)


def _uses(tx: Transaction, scope: _Scope) -> Iterator[Use]:
    """Stretch by stretch, those of a session behind each other."""
    for first in range(0, len(scope.names), _GROUPS_AT_ONCE):
        names = scope.names[first : first + _GROUPS_AT_ONCE]
        sql = _SESSIONS.format(", ".join("?" * len(names)))
        values = (*names, scope.until, scope.begin, *names, scope.until)
        for id, user, server, group, profile, charges, closed_at, _ in tx.each(sql, *values):
            ended = scope.present if closed_at is None else closed_at
            found = cut(read_charges(charges), ended, scope.begin, scope.until)
            for begin, end, charge in found:
                below = _below(scope, group, charge.subjects)
                if below is not None:
                    yield Use(
                        *(id, user, server, group, profile, below, begin, end, charge.amounts)
                    )


def _stored(
    tx: Transaction, scope: _Scope
) -> Generator[tuple[Charged, str, list[Stretch]], None, None]:
    """Directory by directory: the group directly below the report's, and stretches within it."""
    for first in range(0, len(scope.names), _GROUPS_AT_ONCE):
        names = scope.names[first : first + _GROUPS_AT_ONCE]
        for one in charged_in(tx, names, scope.month):
            below = _below(scope, one.group, one.subjects)
            within = [_cut(stretch, scope) for stretch in one.stretches]
            stretches = [stretch for stretch in within if stretch.begin < stretch.end]
            if below is not None and stretches:
                yield one, below, stretches


def _cut(stretch: Stretch, scope: _Scope) -> Stretch:
    """They end with months already, but for those from when the hub's time zone was another."""
    begin, end = max(stretch.begin, scope.begin), min(stretch.end, scope.until)
    return replace(stretch, begin=begin, end=end)


def _storage_uses(tx: Transaction, scope: _Scope) -> Iterator[Use]:
    for one, below, stretches in _stored(tx, scope):
        for stretch in stretches:
            about = ("", one.user, "", one.group, "", below)
            yield Use(*about, stretch.begin, stretch.end, stretch.amounts)


def _below(scope: _Scope, group: str, subjects: Sequence[int]) -> str | None:
    """The group directly below the report's through which a charge counts; None where it doesn't.

    A charge names its subjects from the member over the charged group up to the whole hub.
    """
    if scope.subject is None:
        above = [id for id in subjects if scope.groups.get(id) not in (None, WHOLE_HUB)]
        return scope.groups[above[-1]] if above else group
    if scope.subject not in subjects:
        return None
    place = subjects.index(scope.subject)
    return scope.groups[subjects[place - 1]] if place > 1 else scope.group
