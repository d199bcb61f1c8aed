"""Every route of the groups' admin pages with every role: who may not, may not."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from hubs import TOKEN, Hub

from hub_groups import admin_api, admin_pages
from hub_groups.desk import GroupsPage
from hub_groups.people import By, put_members
from hub_groups.store import GroupStore

# -- who may, said once more than in the code: a route that is new or opened has to be put here --

ADMIN_PAGES = {
    "sources": ("reads", "admin"),
    "sources/tokens": ("admin", "admin"),
    "rules": ("reads", "reads"),
    "audit": ("manages-any", ""),
}
"""By path: who sees it, and who sends its forms."""

ADMIN_API = {
    "GET /sources": "reads",
    "POST /sources/{source}/look": "admin",
    "GET /sources/{source}/look": "reads",
    "POST /sources/{source}/read": "admin",
    "GET /rules": "reads",
    "PUT /rules": "admin",
    "POST /rules/test": "reads",
    "GET /scim-tokens": "reads",
    "POST /scim-tokens": "admin",
    "DELETE /scim-tokens/{token}": "admin",
    "GET /changes": "manages-any",
}

MAY = {
    "manages-any": {"manager", "reader", "admin"},
    "reads": {"reader", "admin"},
    "admin": {"admin"},
}
ROLES = ("member", "manager", "reader", "admin")
PARTS = {"source": "nobody", "token": "0"}
GROUPS = "services/groups/"


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("groupadmin", about="admin routes")
    groups = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    put_members(groups, "course", ["manager"], By("tests", "cli"), role="manager")
    put_members(groups, "course", ["member"], By("tests", "cli"))
    groups.replace_source("roster:secret.csv", {"secret": {"sam": "member"}})
    return hub


def declared() -> dict[str, Any]:
    return {f"{op.method} {op.path}": op for op in admin_api.OPERATIONS}


def test_every_route_is_here():
    assert set(ADMIN_API) == set(declared())

    class Context:
        prefix, settings, name = "/services/groups/", {}, "groups"

    pages, others = set(), set()
    for pattern, handler, _ in admin_pages.routes(Context(), {"store": None}):
        path = pattern.removeprefix("/services/groups/")
        (pages if issubclass(handler, GroupsPage) else others).add(path)
    assert pages == set(ADMIN_PAGES)
    assert others == {"metrics"}


def test_every_operation_with_every_role(hub):
    tokens = {"anonymous": ""}
    for name in ROLES:
        visitor = hub.login(name)
        tokens[name] = visitor.token()
        if name == "admin":
            tokens["idle-token"] = visitor.token("access:services!service=groups")
    wrong = []
    for name, operation in declared().items():
        path = re.sub(r"{(\w+)}", lambda found: PARTS[found[1]], operation.path)
        for role, token in tokens.items():
            answer = httpx.request(
                operation.method,
                f"{hub.base}{GROUPS}api{path}",
                headers={"Authorization": f"token {token}"} if token else {},
                content=b'{"nonsense": 1}' if operation.body else None,
                timeout=30,
            )
            may = role in MAY[ADMIN_API[name]]
            if may != (answer.status_code not in (401, 403)):
                wrong.append((name, role, answer.status_code, answer.text[:80]))
            assert answer.status_code < 500, (name, role, answer.text)
            if not may:
                assert "secret" not in answer.text
    assert not wrong


def test_every_page_with_every_role(hub):
    wrong = []
    for role in ROLES:
        visitor = hub.login(role)
        for path, (sees, sends) in ADMIN_PAGES.items():
            answer = visitor.get(f"{GROUPS}{path}")
            if (role in MAY[sees]) != (answer.status_code != 403):
                wrong.append(("see", path, role, answer.status_code))
            assert role in ("reader", "admin") or "secret" not in answer.text
            if not sends:
                continue
            form = {"_xsrf": visitor.xsrf("/services/groups"), "action": "none"}
            answer = visitor.post(f"{GROUPS}{path}", data=form)
            if (role in MAY[sends]) != (answer.status_code != 403):
                wrong.append(("send", path, role, answer.status_code))
    for path in ADMIN_PAGES:
        outside = httpx.get(f"{hub.base}{GROUPS}{path}")
        assert outside.status_code == 302, path
        assert "oauth2/authorize" in outside.headers["location"]
    assert not wrong


def test_forms_of_other_sites_change_nothing(hub):
    admin = hub.login("admin")
    admin.get(f"{GROUPS}sources")
    for path in ("sources", "sources/tokens", "rules"):
        answer = admin.post(
            f"{GROUPS}{path}",
            data={"action": "make", "name": "theirs"},
            headers={"Sec-Fetch-Site": "cross-site"},
        )
        assert answer.status_code == 403, path
    assert "theirs" not in admin.get(f"{GROUPS}sources").text


def test_a_token_of_the_hubs_own_reads_metrics_and_nothing_else(hub):
    token = {"Authorization": f"token {TOKEN}"}
    assert httpx.get(f"{hub.base}{GROUPS}metrics", headers=token).status_code == 200
    assert httpx.get(f"{hub.base}{GROUPS}api/sources", headers=token).status_code == 403
