"""A stand-in for a BinderHub that only builds: what it asks of who asks, and its events.

A real one needs a cluster that builds images. Its events are those that are documented, and
nothing else can be sent: https://binderhub.readthedocs.io/en/latest/api.html (in a BinderHub that
only builds, `ready` has the image's name, as jupyterhub-fancy-profiles reads it). Who asks has to
be let in by the hub, with `access:services!service=binder`, as with `c.BinderHub.auth_enabled`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado import httpserver, netutil, web

SCOPE = "access:services!service=binder"

DOCUMENTED: dict[str, dict[str, type]] = {
    "failed": {"message": str},
    "built": {"message": str, "imageName": str},
    "waiting": {"message": str},
    "building": {"message": str},
    "fetching": {"message": str},
    "pushing": {"message": str, "progress": dict},
    "launching": {"message": str},
    "ready": {"message": str, "imageName": str},
}
"""What each event has beside its phase."""


@dataclass
class BinderHub:
    """One in a thread.

    Attributes:
        hub: the hub's address, once it is known.
        fails: what it says where a build is to fail.
        goes_on: builds wait for it.
        asked: the specs that it was asked for; `built`: the images that it has.
    """

    url: str = ""
    hub: str = ""
    fails: str = ""
    goes_on: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    built: set[str] = field(default_factory=set)

    def may(self, authorization: str) -> bool:
        request = urllib.request.Request(
            f"{self.hub}hub/api/user", headers={"Authorization": authorization}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return SCOPE in json.load(answer)["scopes"]
        except urllib.error.HTTPError:
            return False

    @staticmethod
    def image(commit: str) -> str:
        return f"registry.example.org/binder/book-abc:{commit}"


class Build(web.RequestHandler):
    async def say(self, phase: str, **more: Any) -> None:
        kinds = DOCUMENTED[phase]
        assert {name: type(value) for name, value in more.items()} == kinds, (phase, more)
        self.write(f"data: {json.dumps({'phase': phase, **more})}\n\n")
        await self.flush()

    async def get(self, spec: str) -> None:
        binder: BinderHub = self.settings["binder"]
        allowed = await asyncio.to_thread(binder.may, self.request.headers["Authorization"])
        if not allowed:
            raise web.HTTPError(403)
        self.set_header("Content-Type", "text/event-stream")
        assert self.get_query_argument("build_only") == "true"
        binder.asked.append(spec)
        image = binder.image(spec.rpartition("/")[2])
        if image in binder.built:
            await self.say("ready", message="Found built image\n", imageName=image)
            return
        await self.say("waiting", message="Waiting for build to start...\n")
        self.write(":heartbeat\n\n")
        await self.say("fetching", message="Picked Git content provider.\n")
        await asyncio.to_thread(binder.goes_on.wait)
        await self.say("building", message="Step 1/3 : FROM ubuntu\n")
        if binder.fails:
            await self.say("failed", message=binder.fails)
            return
        await self.say("pushing", message="Pushing image\n", progress={"layer1": "Pushed"})
        binder.built.add(image)
        await self.say("built", message="Built image\n", imageName=image)
        await self.say("ready", message="Done\n", imageName=image)


@contextmanager
def open_binderhub() -> Iterator[BinderHub]:
    binder = BinderHub()
    binder.goes_on.set()
    loop = asyncio.new_event_loop()
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    binder.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def serve() -> None:
        routes = [("/services/binder/build/(.*)", Build)]
        httpserver.HTTPServer(web.Application(routes, binder=binder)).add_sockets(sockets)

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield binder
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
