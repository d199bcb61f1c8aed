"""The hub's spawn pages in the language of whoever looks at them, whatever their handler is."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.utils import maybe_future

from hub_groups.words import choose, speak


class Speaking(BaseHandler):
    """Over a handler. A spawner can't tell for whom it makes a form: the hub shows that of another
    server when one is refused, and lets go of the request before."""

    async def prepare(self) -> None:
        speak(choose(self.request.headers.get("Accept-Language", "")))
        await maybe_future(super().prepare())


def speak_on_spawn_pages(app: Any) -> None:
    """When the hub has its handlers, put ours over those that are derived from its spawn page's."""

    def wrap(_change: Any) -> None:
        for index, (address, theirs, *rest) in enumerate(app.handlers):
            is_spawn = isinstance(theirs, type) and issubclass(theirs, SpawnHandler)
            if is_spawn and not issubclass(theirs, Speaking):
                app.handlers[index] = (address, type("QuotaSpawn", (Speaking, theirs), {}), *rest)

    app.observe(wrap, "handlers")
