"""Who is told that a home or a shared directory fills up.

That is looked at as agents say what has changed, so that it costs what has changed, whatever
number of homes there are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from hub_groups.store import GroupStore
from hub_groups.words import in_english

from .delivery import Ways, managers_of, to_all
from .limits import PolicyError
from .notices import News, Notices
from .outlook import time_of
from .policy import DEFAULT_GROUP, group_name
from .storage import GROUP, OTHER, USER, home_of
from .storage_store import Directory, directories
from .storage_words import SHARES, STORAGE, due, stem_of, warning, what_of
from .store import QuotaStore

log = logging.getLogger("group-quotas")


def warn(
    store: QuotaStore,
    groups: GroupStore,
    ways: Ways,
    mount: str,
    changed: Iterable[Directory],
    gone: Iterable[str] = (),
) -> None:
    """Tell what is to be told of what an agent has said. Blocks.

    Args:
        gone: see `storage_store.report`.
    """
    notices = Notices(store)
    told = notices.open_of(STORAGE)
    news, over = [], [stem for entry in gone for stem in _stems(mount, entry) if stem in told]
    for one in changed:
        if one.kind == OTHER:
            continue
        found = due(one.kind, mount, one.name, one.share, told)
        over += found.over
        if found.share:
            news.append(_news(store, groups, ways, mount, one, found.share, found.quietly))
    if news or over:
        notices.tell_all(news, over)
        for each in news:
            log.info("Told %s: %s", each.user or each.group, each.text)


def _stems(mount: str, entry: str) -> list[str]:
    kind, _slash, name = entry.partition("/")
    return [stem_of(share, kind, mount, name) for share in SHARES]


def _news(
    store: QuotaStore,
    groups: GroupStore,
    ways: Ways,
    mount: str,
    one: Directory,
    share: float,
    quietly: bool,
) -> News:
    policy = store.policy()
    group = one.name if one.kind == GROUP else _charged(store, groups, one.name)
    managers = managers_of(policy, groups, group)
    several = len(directories(store, one.kind, [one.name])) > 1
    what = in_english(what_of, one.kind, one.name, mount if several else "")
    text = in_english(warning, what, share, one.used, one.applied or 0, managers, group)
    user = one.name if one.kind == USER else ""
    people = [user] if user else managers
    send_to = [] if quietly else to_all(people, ways, webhook=not user)
    stem = stem_of(share, one.kind, mount, one.name)
    return News(stem, STORAGE, user, group, text, tuple(send_to))


def _charged(store: QuotaStore, groups: GroupStore, user: str) -> str:
    """The group whose limit it is that holds for a home."""
    mine = groups_of(groups, user)
    found = home_of(store.policy(), user, mine, time_of(store), store.zone)
    return found.limit.group if found else DEFAULT_GROUP


def groups_of(groups: GroupStore, user: str) -> Sequence[str]:
    """A user's, as policies have them. Blocks."""
    found = []
    for standing in groups.standings(user):
        try:
            found.append(group_name(standing.membership.group))
        except PolicyError:
            continue
    return tuple(dict.fromkeys(found))
