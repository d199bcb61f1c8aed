"""A start by somebody whose home is full: a server that comes up all the same, and is a small one.

JupyterLab fails at the first file that it can't write, and moves what is deleted to a trash in the
same home. A rescue server writes what it has to elsewhere, and deletes for good.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from hub_groups.words import _

from .config import HubQuotas
from .limits import PolicyError
from .off_loop import off_loop
from .rescue import LASTS, Rescue, fullest_folder
from .rescues import is_emptied, rescue_for
from .storage_looks import Look, ask_to_look, looks
from .transaction import LedgerError

_PATIENCE_SECONDS, _LOOKS = 5, 16
"""For the agent to make room and to look what fills it: it hears of both within a second."""
_ELSEWHERE = {
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "XDG_CACHE_HOME": "cache",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
}
_OPTIONS = (
    "--FileContentsManager.delete_to_trash=False",
    "--ContentsManager.allow_hidden=True",  # where the trash is, and caches
)


class RescueMixin:
    """Of `QuotaMixin`."""

    quota_settings: HubQuotas
    user: Any
    cmd: Any
    default_url: str
    notebook_dir: str
    log: logging.Logger

    rescue: Rescue | None = None
    _opens = ""  # a folder of the home
    _looked: asyncio.Event | None = None  # of a start: whether its home is full is known

    def groups(self) -> list[str]:
        raise NotImplementedError

    async def look_for_room(self) -> None:
        """Whether this has to be a rescue server; a ledger that can't be reached says no."""
        self.rescue, self._opens, self._looked = None, "", asyncio.Event()
        try:
            self.rescue, self._opens = await self._rescue()
        except (LedgerError, PolicyError) as error:  # the start itself says so
            self.log.warning("Whether %s's home is full can't be told: %s", self.user.name, error)
        finally:
            self._looked.set()
        if self.rescue:
            self.log.info("%s's home is full: a rescue server", self.user.name)

    async def _rescue(self) -> tuple[Rescue | None, str]:
        """More room, if that is needed, and which folder to open."""
        user, groups = self.user.name, self.groups()
        store = await off_loop(self.quota_settings.store)
        rescue = await off_loop(rescue_for, store, user, groups)
        if rescue is None:
            return None, ""
        await off_loop(ask_to_look, store, user)
        found: list[Look] = []
        for _look in range(_LOOKS):
            emptied = await off_loop(is_emptied, store, user, groups, rescue)
            if emptied:
                return None, ""
            found = await off_loop(looks, store, user)
            if emptied is False and any(look.largest for look in found):
                break
            await asyncio.sleep(_PATIENCE_SECONDS / _LOOKS)
        return rescue, _folder(found)

    @property
    def first_rescue(self) -> bool:
        """Whether there was none in the last day: it starts then whatever else is used up."""
        return self.rescue is not None and self.rescue.until == self.rescue.since + LASTS

    def get_env(self) -> dict[str, Any]:
        env: dict[str, Any] = super().get_env()  # type: ignore[misc]
        if self.rescue:
            # A name that nobody on this machine knows before.
            folder = f"/tmp/rescue-{secrets.token_hex(16)}"  # noqa: S108
            env.update({key: f"{folder}/{name}" for key, name in _ELSEWHERE.items()})
            in_lab = self.default_url.startswith("/lab") or not self.default_url
            if self._opens and in_lab and self.notebook_dir in ("", "~"):
                env["JUPYTERHUB_DEFAULT_URL"] = f"/lab/tree/{quote(self._opens)}"
        return env

    def get_args(self) -> list[str]:
        args: list[str] = list(super().get_args())  # type: ignore[misc]
        is_jupyter = any("jupyter" in part or "singleuser" in part for part in self.cmd or ())
        return [*args, *_OPTIONS] if self.rescue and is_jupyter else args

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        if self._looked:
            await self._looked.wait()
        if self.rescue:
            yield {"progress": 5, "message": self.rescue_words()}
        async for event in super().progress():  # type: ignore[misc]
            yield event

    def rescue_words(self) -> str:
        return _(
            "Your home is full, so this is a small server, in which you can delete what you don't "
            "need. Then stop it, and start the one that you want."
        )


def _folder(some: Sequence[Look]) -> str:
    """Of the home that holds most."""
    found = [look.largest for look in some if look.largest]
    if not found:
        return ""
    most = max(found, key=lambda largest: largest.used)
    entries = [(one.path, one.size, one.is_file) for one in most.entries]
    return fullest_folder(entries, most.used)
