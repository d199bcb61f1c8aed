"""Are the file systems all right, and whose home is full? The page about storage, for admins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from hub_groups.words import _

from .access import Who
from .desk import QuotaPage
from .policy_store import now
from .quantities import resource
from .storage import GROUP, OTHER, USER, home_of
from .storage_view import MountView, mount_views
from .storage_warnings import groups_of
from .storage_words import Part, level, say_backend, say_promise, say_silence
from .svg import Svg
from .windows import DAY


class StoragePage(QuotaPage):
    """All that agents look after."""

    who = Who.READS

    async def get(self) -> None:
        views, from_groups = await asyncio.to_thread(self._read)
        public = self.context.settings["public_url"]
        self.show(
            "storage.html",
            views=views,
            from_groups=from_groups,
            picture=picture,
            parts=parts,
            say_backend=say_backend,
            say_promise=say_promise,
            say_silence=say_silence,
            present=now(),
            storage=resource("storage"),
            api=f"{public or 'https://hub.example.org' + self.context.prefix}api",
            USER=USER,
            GROUP=GROUP,
            OTHER=OTHER,
            BACKUP_LATE=2 * DAY,
        )

    def _read(self) -> tuple[Sequence[MountView], Mapping[str, str]]:
        """What there is; and of the fullest homes, by user, the group whose limit it is. Blocks."""
        views = mount_views(self.store)
        policy, at = self.store.policy(), now()
        users = {one.name for view in views for one in view.fullest if one.kind == USER}
        found = {}
        for user in sorted(users):
            mine = home_of(policy, user, groups_of(self.groups, user), at, self.store.zone)
            if mine:
                found[user] = mine.limit.group
        return views, found


def parts(view: MountView) -> list[Part]:
    """What takes up a file system, in the order of its picture."""
    return [
        Part("homes", _("Homes"), view.of(USER).used, view.of(USER).count),
        Part("shared", _("Shared directories"), view.of(GROUP).used, view.of(GROUP).count),
        Part("nobody", _("Homes of nobody"), view.of(OTHER).used, view.of(OTHER).count),
        Part("rest", _("Everything else"), view.rest),
        Part("free", _("Free"), view.mount.free),
    ]


def picture(view: MountView) -> Svg:
    """A file system as a bar."""
    said = say_promise(view.promised, view.mount.size)
    return level(parts(view), view.mount.size, view.promised, f"{view.mount.name}. {said}")
