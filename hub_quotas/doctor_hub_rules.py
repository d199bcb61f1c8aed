"""What can be wrong with a running hub and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from .doctor_facts import (
    HINT,
    PROBLEM,
    WARNING,
    Class,
    Facts,
    Finding,
    Pages,
)
from .doctor_words import GROUPS, MOST_SKEW, PORTS, QUOTAS, RESTART, apart, is_too_local

OLDEST_HUB = (5, 5)

_OF_PROXIES = (0, 502, 503, 504)
"""What says that a proxy can't reach what is behind it, or that there is none."""
_SAY_WHERE = "if it runs elsewhere, say where: --url https://hub.example.org/"

# -- the running hub ------------------------------------------------------------------------------


def hub(facts: Facts) -> Iterator[Finding]:
    if facts.hub is None:
        return
    if not facts.hub.status:
        what = f"No hub answers at its address: {facts.hub.why}."
        fix = "Start it; if it runs, put c.JupyterHub.hub_ip, hub_port or hub_bind_url right."
        yield Finding("hub-unreachable", PROBLEM, what, facts.hub_url, fix)
    elif not facts.hub.right:
        what = f"What answers at the hub's address is no hub ({facts.hub.status})."
        fix = "Put c.JupyterHub.hub_port or hub_bind_url right, or end what listens there."
        yield Finding("hub-unreachable", PROBLEM, what, facts.hub_url, fix)
    elif facts.running is None and facts.config.packages:
        what = "The hub that runs has none of our packages, though its configuration loads them."
        fix = f"{RESTART} If that is not enough, it reads another file than {facts.config.file}."
        yield Finding("hub-without-us", PROBLEM, what, facts.hub_url, fix)


def drift(facts: Facts) -> Iterator[Finding]:
    running, config = facts.running, facts.config
    if running is None or config.problem:
        return
    lost = [name for name in config.packages if name not in running.packages]
    if lost:
        what = f"The hub that runs does not have {', '.join(lost)}, which its configuration loads."
        yield Finding("hub-without-us", PROBLEM, what, facts.hub_url, RESTART)
    if (running.version, running.jupyterhub) != (facts.version, facts.jupyterhub):
        yield Finding(
            "versions-differ",
            WARNING,
            f"The hub runs jupyterhub-group-quotas {running.version} on JupyterHub "
            f"{running.jupyterhub}; this command is of {facts.version} and {facts.jupyterhub}.",
            facts.hub_url,
            f"{RESTART} If nothing was upgraded, use the command of the hub's own environment.",
        )
    elif config.changed_at > running.since:
        what = "The configuration was changed after the hub had started."
        yield Finding("config-changed", HINT, what, config.file, f"{RESTART} It reads it then.")


def hub_version(facts: Facts) -> Iterator[Finding]:
    hub = facts.running.jupyterhub if facts.running else facts.jupyterhub
    numbers = tuple(int(part) for part in hub.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_HUB:
        what = f"JupyterHub {hub} is older than what we work with."
        fix = "Upgrade it to 5.5 or later."
        yield Finding("hub-too-old", PROBLEM, what, facts.hub_url or facts.config.file, fix)


def classes(facts: Facts) -> Iterator[Finding]:
    running = facts.running
    if running is None:
        return
    if QUOTAS in running.packages:
        yield from _class("spawner", running.spawner, "quotas do not hold", facts.hub_url)
    if GROUPS in running.packages:
        yield from _class(
            "authenticator", running.authenticator, "logins say nothing of groups", facts.hub_url
        )


def _class(kind: str, found: Class, so: str, where: str) -> Iterator[Finding]:
    if not found.ours:
        yield Finding(
            f"{kind}-replaced",
            PROBLEM,
            f"The hub's {kind} is {found.name}, without our part: {so}.",
            where,
            f"Set c.JupyterHub.{kind}_class in the configuration instead of putting the class "
            "into the hub afterwards (tornado_settings, app.observe).",
        )
    elif found.skipped:
        yield Finding(
            f"{kind}-overridden",
            PROBLEM,
            f"{found.name} puts its own {', '.join(found.skipped)} before ours, which never runs.",
            where,
            "Call super() there, or set the class as "
            f"c.JupyterHub.{kind}_class, around which we put our part.",
        )


# -- the pages ------------------------------------------------------------------------------------


def pages(facts: Facts) -> Iterator[Finding]:
    pages = facts.running.pages if facts.running else ()
    for one in pages:
        if not one.url:
            yield Finding(
                "service-missing",
                PROBLEM,
                f"The hub has no service {one.name}: something took it out of its services.",
                facts.hub_url,
                "Set c.JupyterHub.services in the configuration, not on the application.",
            )
        elif not one.open:
            yield Finding(
                "pages-closed",
                WARNING,
                f"Users may not open the pages of {one.name}.",
                facts.hub_url,
                f"Give the role user the scope access:services!service={one.name}.",
            )
    served = [one for one in pages if one.url and one.direct]
    down = [one for one in served if one.direct and not one.direct.right]
    if down:
        answer = down[0].direct
        assert answer
        why = f"something else answers ({answer.status})" if answer.status else answer.why
        yield Finding(
            "pages-down",
            PROBLEM,
            f"The pages of {_names(down)} are not served: {why}.",
            down[0].url,
            "See what the hub's log says of group-quotas; set c.HubGroups.service_url to a free "
            "port. The hub starts the pages again after half a minute.",
        )
    elif facts.front and facts.front.right:
        yield from _through_the_proxy(facts, [one for one in served if one.public])


def _through_the_proxy(facts: Facts, served: list[Pages]) -> Iterator[Finding]:
    lost = [one for one in served if one.public and not one.public.right]
    if not lost or is_too_local(facts):  # which is said already
        return
    answer = lost[0].public
    assert answer
    if answer.status in _OF_PROXIES:
        port = urlsplit(lost[0].url).port
        fix = "Set c.HubGroups.service_url to an address that the proxy reaches"
        if facts.config.on_kubernetes:
            fix += f", and {PORTS.format(port=port)}"
        yield Finding(
            "pages-out-of-reach",
            PROBLEM,
            f"The proxy does not reach the pages of {_names(lost)} "
            f"({answer.status or answer.why}); the hub does.",
            lost[0].url,
            f"{fix}.",
        )
    else:
        yield Finding(
            "proxy-route",
            PROBLEM,
            f"The proxy leads elsewhere than to the pages of {_names(lost)} ({answer.status}).",
            facts.public,
            f"{RESTART} It tells its proxy all routes anew. See that nothing before the proxy "
            "takes /services/ for itself.",
        )


def _names(pages: list[Pages]) -> str:
    return ", ".join(one.name for one in pages)


def front(facts: Facts) -> Iterator[Finding]:
    if facts.front is None or (facts.hub and not facts.hub.right):
        return
    status = facts.front.status
    if not facts.front.right and status not in _OF_PROXIES:
        yield Finding(
            "public-unreachable",
            PROBLEM,
            f"Something else than this hub answers at the address that browsers use ({status}).",
            facts.public,
            f"End what listens there, or put c.JupyterHub.bind_url right; {_SAY_WHERE} If it is "
            "this hub's proxy, restart the hub, which tells its proxy all routes anew.",
        )
    elif not facts.front.right:
        why = f"it answers {status}" if status else facts.front.why
        yield Finding(
            "public-unreachable",
            PROBLEM,
            f"The hub is not to be found at the address that browsers use: {why}.",
            facts.public,
            f"Start the proxy; {_SAY_WHERE}",
        )
    elif facts.front.ahead is not None and abs(facts.front.ahead) > MOST_SKEW:
        yield Finding(
            "clock-public",
            WARNING,
            f"The clock at the public address is {apart(facts.front.ahead)} this machine's.",
            facts.public,
            "Set both by NTP: logins and links end by these clocks.",
        )
