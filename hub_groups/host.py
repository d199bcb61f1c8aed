"""The one process that serves the pages of all activated packages: `python -m hub_groups.host`.

Started by the hub, which hands over everything in GROUP_QUOTAS_HOST (see `attach.py`).
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import signal
import sys
from typing import Any
from urllib.parse import urlsplit

if __name__ == "__main__":  # a hub may be stopped while we are still loading
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from tornado import web  # noqa: E402
from tornado.httpserver import HTTPServer  # noqa: E402

from .web import (  # noqa: E402
    Context,
    NotFound,
    PageAuth,
    Routes,
    common_routes,
    template_environment,
)

log = logging.getLogger("group-quotas")

_PARENT_CHECK_SECONDS = 1
_TURN_SECONDS = 0.0005
"""How long a thread that reads a database waits for its turn, at each step, while pages are being
made; Python's own is ten times as long."""


def build(host: dict[str, Any], env: dict[str, str]) -> tuple[web.Application, list[Any]]:
    """The application, and what each package wants to run beside its pages.

    Args:
        host: what `attach.py` put together: url, cookie_secret, services, and the hosts of those
            that have their own.
        env: the environment that a hub gives its services (JUPYTERHUB_API_URL and so on).
    """
    base_url, hub_host = env["JUPYTERHUB_BASE_URL"], env.get("JUPYTERHUB_HOST", "")
    paths = {name: f"{base_url}services/{name}/" for name in host["services"]}
    hosts: dict[str, str] = host["hosts"]
    nav = {name: hosts.get(name, "") + path for name, path in paths.items()}
    packages = [spec["module"].partition(".")[0] for spec in host["services"].values()]
    templates = template_environment(sorted({"hub_groups", *packages}))
    routes: Routes = []
    background: list[Any] = []
    for name, spec in host["services"].items():
        context = Context(
            name=name,
            settings=spec["settings"],
            prefix=paths[name],
            hub=f"{base_url}hub/",
            nav=nav,
            auth=_auth(name, spec["token"], paths[name], env, hosts.get(name, "")),
            templates=templates,
        )
        module = importlib.import_module(spec["module"])
        routes += common_routes(context)
        routes += module.routes(context)
        routes.append((f"{context.prefix}.*", NotFound, {"context": context}))
        background += getattr(module, "background", lambda _context: [])(context)
    application = web.Application(
        routes,
        cookie_secret=host["cookie_secret"],
        xsrf_cookies=True,
        log_function=_log_request,
        hub_host=hub_host,
    )
    return application, background


def _auth(name: str, token: str, prefix: str, env: dict[str, str], host: str) -> PageAuth:
    """`host`: of its own. A hub that was told its own public address still expects the callback by
    its path alone."""
    base_url = env["JUPYTERHUB_BASE_URL"]
    return PageAuth(
        api_url=env["JUPYTERHUB_API_URL"],
        api_token=token,
        base_url=prefix,
        hub_prefix=f"{base_url}hub/",
        hub_host=env.get("JUPYTERHUB_HOST", ""),
        oauth_client_id=f"service-{name}",
        oauth_redirect_uri=f"{host}{prefix}oauth_callback",
        access_scopes={"access:services", f"access:services!service={name}"},
        cache_max_age=10,  # an admin who is one no longer is not one here either
    )


def settle() -> None:
    """Once all is loaded: so that no page waits long for another."""
    sys.setswitchinterval(_TURN_SECONDS)
    gc.collect()
    gc.freeze()  # else it is looked through again and again, for more than 100 ms each time


def _log_request(handler: web.RequestHandler) -> None:
    """What failed, without what an address says behind its path: that can be a secret."""
    status, request = handler.get_status(), handler.request
    if status >= 400:
        milliseconds = 1000 * request.request_time()
        log.warning("%d %s %s %.1f ms", status, request.method, request.path, milliseconds)


async def _until_orphaned(hub: int) -> None:
    """Return when the hub that started us is gone.

    A hub that is killed leaves its services behind. One that lived on would hold tokens that the
    next hub does not know.
    """
    while os.getppid() == hub:  # noqa: ASYNC110 - no event tells when a parent has gone
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    log.warning("The hub is gone; stopping.")


async def main() -> None:
    logging.basicConfig(format="[%(levelname).1s %(asctime)s %(name)s] %(message)s")
    log.setLevel(logging.INFO)
    host = json.loads(os.environ.pop("GROUP_QUOTAS_HOST"))
    application, background = build(host, dict(os.environ))
    settle()
    where = urlsplit(host["url"])
    server = HTTPServer(application, xheaders=True)
    try:
        local = where.hostname in ("127.0.0.1", "localhost", "::1")
        server.listen(where.port or 80, address="127.0.0.1" if local else "")
    except OSError as error:
        raise SystemExit(
            f"The pages of group-quotas can't be served at {host['url']}: {error}. "
            "Set c.HubGroups.service_url to a free port."
        ) from None
    log.info("Serving %s at %s", ", ".join(host["services"]), host["url"])
    tasks = [asyncio.ensure_future(work) for work in background]
    orphaned = asyncio.ensure_future(_until_orphaned(host["hub_pid"]))
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, orphaned.cancel)
    await asyncio.wait([orphaned])
    for task in tasks:
        task.cancel()
    server.stop()


if __name__ == "__main__":
    asyncio.run(main())
