"""Every route with every role: who may not, may not; who may, gets further."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import yaml

from hub_groups.rest import Rest
from hub_quotas.desk import QuotaPage
from hub_quotas.operations import OPERATIONS
from hub_quotas.policy import parse_policy
from hub_quotas.service import routes

# -- who may, said once more than in the code: a route that is new or opened has to be put here --

PAGES = {
    "": ("user", "user"),
    "groups": ("manages-any", "admin"),
    "groups/GROUP": ("sees", "manages"),
    "ask": ("user", "acts"),
    "asks": ("manages-any", "manages-any"),
    "boosts": ("sees", "manages"),
    "audit": ("manages-any", "manages-any"),
    "reports": ("manages-any", ""),
    "reports/GROUP": ("sees", ""),
    "plans": ("reads", "admin"),
    "prices": ("reads", "admin"),
    "storage": ("reads", ""),
    "policy": ("reads", "admin"),
    "api/": ("user", ""),
}
"""By path: who sees it, and who sends its forms."""

API = {
    "GET /me": "user",
    "GET /notices": "users",
    "GET /me/spending": "user",
    "GET /me/servers": "user",
    "DELETE /me/server": "acts",
    "DELETE /me/servers/{server}": "acts",
    "GET /me/history": "user",
    "POST /me/storage/look": "acts",
    "GET /me/storage/largest": "users",
    "GET /users/{user}/storage/largest": "admin",
    "GET /groups": "manages-any",
    "GET /groups/{group}": "sees",
    "PUT /groups/{group}": "manages",
    "PATCH /groups/{group}/limits": "manages",
    "DELETE /groups/{group}": "manages",
    "GET /groups/{group}/members": "sees",
    "GET /groups/{group}/servers": "sees",
    "DELETE /groups/{group}/servers/{session}": "manages",
    "POST /groups/{group}/what-if": "manages",
    "GET /groups/{group}/spending": "sees",
    "GET /groups/{group}/spending/members": "sees",
    "GET /groups/{group}/spending/servers": "sees",
    "GET /reports/{group}": "sees",
    "GET /reports/{group}/csv": "sees",
    "GET /asks": "user",
    "POST /asks": "user",
    "POST /asks/{id}/approve": "manages-any",
    "POST /asks/{id}/decline": "manages-any",
    "POST /asks/{id}/withdraw": "acts",
    "GET /groups/{group}/boosts": "sees",
    "POST /groups/{group}/boosts": "manages",
    "DELETE /groups/{group}/boosts/{number}": "manages",
    "GET /reservations": "reserves",
    "POST /reservations": "reserves",
    "GET /reservations/{id}": "reserves",
    "PUT /reservations/{id}": "reserves",
    "DELETE /reservations/{id}": "reserves",
    "GET /storage/limits": "stores",
    "POST /storage/use": "stores",
    "POST /storage/largest": "stores",
    "GET /storage/mounts": "reads",
    "GET /me/storage": "users",
    "GET /groups/{group}/storage": "sees",
    "GET /plans": "reads",
    "GET /plans/{plan}": "reads",
    "PUT /plans/{plan}": "admin",
    "DELETE /plans/{plan}": "admin",
    "POST /plans/{plan}/groups": "admin",
    "POST /plans/{plan}/what-if": "admin",
    "GET /prices": "reads",
    "PUT /prices": "admin",
    "GET /policy": "reads",
    "PUT /policy": "admin",
    "POST /policy/table": "admin",
    "GET /changes": "manages-any",
    "POST /changes/{version}/undo": "manages-any",
}

MAY = {
    "user": {
        *("member", "manager", "other-manager", "reader", "admin", "idle-token", "reserver"),
        "agent",
    },
    "users": {"member", "manager", "other-manager", "reader", "admin", "idle-token"},
    "acts": {"member", "manager", "other-manager", "reader", "admin"},
    "manages-any": {"manager", "other-manager", "reader", "admin"},
    "sees": {"manager", "reader", "admin"},
    "manages": {"manager", "admin"},
    "reads": {"reader", "admin"},
    "admin": {"admin"},
    "reserves": {"reserver"},
    "stores": {"agent"},
}
"""`idle-token`: of an admin, but without the scope to act."""

PARTS = {
    "group": "course",
    "plan": "small",
    "session": "0",
    "server": "none",
    "version": "999999",
    "id": "999999",
    "number": "9",
    "user": "member",
}

POLICY = """
plans: {small: {limits: {member.servers: 2}}}
groups:
  course: {managers: [manager], limits: {member.servers: 1}}
  elsewhere: {managers: [other-manager]}
"""


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("roles")
    hub.ledger().apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    return hub


@pytest.fixture(scope="module")
def tokens(hub) -> dict[str, str]:
    """Of each role; empty for nobody."""
    found = {"anonymous": "", "reserver": hub.settings["token"] + "r"}
    found["agent"] = hub.settings["token"] + "a"
    for name in ("member", "manager", "other-manager", "reader", "admin"):
        visitor = hub.login(name)
        found[name] = visitor.token()
        if name == "admin":
            found["idle-token"] = visitor.token("access:services!service=quotas")
    return found


def declared() -> dict[str, Any]:
    return {f"{op.method} {op.path}": op for op in OPERATIONS}


def test_whoever_may_name_a_group_is_told_when_there_is_none():
    """The fuzzer of the API comes across it in one run of a few only."""
    naming = [one for one in OPERATIONS if "{group}" in one.path]
    assert len(naming) > 10
    assert [one.path for one in naming if 404 not in one.problems] == []


def test_every_route_is_here():
    """Also one that nobody thought about: a page, an operation, or another handler."""
    assert set(API) == set(declared())

    class Settings(dict):
        def __missing__(self, key):
            return "sqlite://"

    class Context:
        prefix, settings, name = "/services/quotas/", Settings(reservation_lasts=1), "quotas"

    pages = set()
    others = set()
    for pattern, handler, _ in routes(Context()):
        path = pattern.removeprefix("/services/quotas/").replace("(?P<group>.+)", "GROUP")
        if issubclass(handler, QuotaPage):
            pages.add(path)
        elif not issubclass(handler, Rest):
            others.add(path)
    assert pages == set(PAGES) - {"api/"}
    assert others == {
        "api/?",  # the reference: for everybody who is logged in
        "api/openapi.json",  # says nothing of this hub
        "metrics",  # tests/test_metrics.py
    }


def test_every_operation_with_every_role(hub, tokens):
    wrong = []
    for name, operation in declared().items():
        path = operation.path
        for part in re.findall(r"{(\w+)}", path):
            path = path.replace(f"{{{part}}}", PARTS[part])
        # Nothing is to be changed by this: a body that says nothing, an entry that is another one.
        query = {"version": 999_999} if "version" in operation.query.model_fields else {}
        for role, token in tokens.items():
            answer = httpx.request(
                operation.method,
                f"{hub.base}services/quotas/api{path}",
                params=query,
                headers={"Authorization": f"token {token}"} if token else {},
                content=b'{"nonsense": 1}' if operation.body else None,
                timeout=30,
            )
            may = role in MAY[API[name]]
            if may != got_in(answer):
                wrong.append((name, role, answer.status_code, answer.text[:80]))
            assert answer.status_code < 500, (name, role, answer.text)
            if not may:
                assert "course" not in answer.text.replace(path, "")
    assert not wrong


def got_in(answer: httpx.Response) -> bool:
    hidden = answer.status_code == 404 and "There is no such group here" in answer.text
    return answer.status_code not in (401, 403) and not hidden


def test_every_page_with_every_role(hub, tokens):
    visitors = {
        name: hub.login(name) for name in ("member", "manager", "other-manager", "reader", "admin")
    }
    wrong = []
    for path, (sees, sends) in PAGES.items():
        where = f"services/quotas/{path.replace('GROUP', 'course')}"
        where += "?group=course" if path == "boosts" else ""
        for role, visitor in visitors.items():
            answer = visitor.get(where)
            if (role in MAY[sees]) != got_in(answer):
                wrong.append(("see", path, role, answer.status_code))
            if not sends:
                continue
            form = {"_xsrf": visitor.xsrf("/services/quotas"), "action": "none", "version": "0"}
            answer = visitor.post(where, data=form)
            if (role in MAY[sends]) != got_in(answer):
                wrong.append(("send", path, role, answer.status_code))
        outside = httpx.get(f"{hub.base}{where}")
        if path == "api/":  # says nothing of this hub
            assert outside.status_code == 200
            continue
        assert outside.status_code == 302, path
        assert "oauth2/authorize" in outside.headers["location"]
    assert not wrong


def test_a_group_that_is_not_theirs_is_as_one_that_is_not_there(hub, tokens):
    for address in ("groups/{}", "groups/{}/members", "groups/{}/servers", "changes?group={}"):
        answers = [
            httpx.get(
                f"{hub.base}services/quotas/api/{address.format(group)}",
                headers={"Authorization": f"token {tokens['other-manager']}"},
            )
            for group in ("course", "nowhere")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text == answers[1].text
