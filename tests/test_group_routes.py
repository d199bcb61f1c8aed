"""Every route of the groups with every role: who may not, may not; who may, gets further."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hubs import wait_for
from test_routes import got_in

from hub_groups import people_api, people_pages
from hub_groups.store import GroupStore

# -- who may, said once more than in the code: a route that is new or opened has to be put here --

PEOPLE_PAGES = {
    "": ("user", "acts"),
    "groups": ("manages-any", "admin"),
    "groups/GROUP": ("sees", "manages"),
    "join": ("user", "acts"),
}
"""By path: who sees it, and who sends its forms."""

PEOPLE_API = {
    "GET /me/groups": "user",
    "DELETE /me/groups/{group}": "acts",
    "GET /me/requests": "user",
    "POST /me/requests/{request}/withdraw": "acts",
    "GET /groups": "manages-any",
    "GET /groups/{group}": "sees",
    "GET /groups/{group}/export": "sees",
    "POST /groups/{group}/roster": "manages",
    "GET /groups/{group}/events": "sees",
    "GET /groups/{group}/archive": "sees",
    "PUT /groups/{group}/archive": "manages-above",
    "DELETE /groups/{group}/archive": "manages-above",
    "GET /groups/{group}/members": "sees",
    "POST /groups/{group}/members": "manages",
    "POST /groups/{group}/remove": "manages",
    "DELETE /groups/{group}/members/{user}": "manages",
    "PATCH /groups/{group}/members/{user}": "manages",
    "GET /groups/{group}/links": "manages",
    "POST /groups/{group}/links": "manages",
    "DELETE /groups/{group}/links/{link}": "manages",
    "GET /join/{code}": "user",
    "POST /join/{code}": "users-act",
    "GET /requests": "manages-any",
    "POST /requests/{request}/approve": "manages-any",
    "POST /requests/{request}/decline": "manages-any",
}

_USERS = {"member", "manager", "head", "other-manager", "reader", "admin"}
MAY = {
    "user": {*_USERS, "idle-token", "robot"},
    "acts": {*_USERS, "robot"},
    "users-act": _USERS,
    "manages-any": {"manager", "head", "other-manager", "reader", "admin", "robot"},
    "sees": {"manager", "head", "reader", "admin", "robot"},
    "manages": {"manager", "head", "admin", "robot"},
    "manages-above": {"head", "admin", "robot"},
    "admin": {"admin", "robot"},
}
"""`manager` manages science/course, `head` manages science; `idle-token`: of an admin, but without
the scope to act."""

SOON = f"{datetime.now(timezone.utc).date() + timedelta(days=30)}"

PARTS = {
    "group": "science%2Fcourse",
    "user": "none",
    "code": "A2B3C4D5E6F7",
    "link": "999999",
    "request": "999999",
}


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("people")
    store = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    wait_for("the roster", lambda: store.sizes(["science/course"]))
    return hub


@pytest.fixture(scope="module")
def visitors(hub) -> dict[str, Any]:
    return {name: hub.login(name) for name in sorted(_USERS)}


@pytest.fixture(scope="module")
def tokens(hub, visitors) -> dict[str, str]:
    """Of each role; empty for nobody."""
    found = {"anonymous": "", "robot": hub.settings["token"] + "g"}
    found |= {name: visitor.token() for name, visitor in visitors.items()}
    found["idle-token"] = visitors["admin"].token("access:services!service=groups")
    return found


def declared() -> dict[str, Any]:
    return {f"{op.method} {op.path}": op for op in people_api.OPERATIONS}


def test_every_route_is_here():
    class Context:
        prefix = "/services/groups/"

    assert set(PEOPLE_API) == set(declared())
    pages = {
        pattern.removeprefix("/services/groups/")
        .replace("(?P<group>.+)", "GROUP")
        .replace("(?:/(?P<code>[^/]*))?", "")
        for pattern, _, _ in people_pages.routes(Context(), {})
    }
    assert pages == set(PEOPLE_PAGES)


def test_every_operation_with_every_role(hub, tokens):
    wrong = []
    for name, operation in declared().items():
        path = operation.path
        for part in re.findall(r"{(\w+)}", path):
            path = path.replace(f"{{{part}}}", PARTS[part])
        for role, token in tokens.items():
            answer = httpx.request(
                operation.method,
                f"{hub.base}services/groups/api{path}",
                headers={"Authorization": f"token {token}"} if token else {},
                content=b'{"nonsense": 1}' if operation.body else None,
                timeout=30,
            )
            if (role in MAY[PEOPLE_API[name]]) != got_in(answer):
                wrong.append((name, role, answer.status_code, answer.text[:80]))
            assert answer.status_code < 500, (name, role, answer.text)
    assert not wrong


def test_every_page_with_every_role(hub, visitors):
    wrong = []
    for path, (sees, sends) in PEOPLE_PAGES.items():
        where = f"services/groups/{path.replace('GROUP', 'science/course')}"
        for role, visitor in visitors.items():
            answer = visitor.get(where)
            if (role in MAY[sees]) != got_in(answer):
                wrong.append(("see", path, role, answer.status_code))
            form = {"_xsrf": visitor.xsrf("/services/groups"), "action": "none", "group": ""}
            answer = visitor.post(where, data=form)
            no_code = path == "join"  # says 404, of the code
            if (role in MAY[sends]) != (no_code or got_in(answer)):
                wrong.append(("send", path, role, answer.status_code))
            assert answer.status_code < 500
        outside = httpx.get(f"{hub.base}{where}")
        assert outside.status_code == 302, path
        assert "oauth2/authorize" in outside.headers["location"]
    assert not wrong


def test_a_manager_may_not_archive_their_own_group_on_its_page(hub, visitors):
    for name, status in (("manager", 403), ("head", 200)):
        visitor = visitors[name]
        page = visitor.get("services/groups/groups/science/course")
        assert ("Archive the group" in page.text) == (status == 200)
        form = {"_xsrf": visitor.xsrf("/services/groups"), "action": "archive"}
        answer = visitor.post("services/groups/groups/science/course", data=form)
        assert answer.status_code == status


def test_a_group_that_is_not_theirs_is_as_one_that_is_not_there(hub, tokens):
    for address in ("groups/{}", "groups/{}/members", "groups/{}/events", "groups/{}/links"):
        answers = [
            httpx.get(
                f"{hub.base}services/groups/api/{address.format(group)}",
                headers={"Authorization": f"token {tokens['other-manager']}"},
            )
            for group in ("science%2Fcourse", "nowhere")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text == answers[1].text


def test_a_request_of_another_group_is_as_none(hub, visitors, tokens):
    def api(who: str, method: str, path: str, **sent) -> httpx.Response:
        token = {"Authorization": f"token {tokens[who]}"}
        return httpx.request(method, f"{hub.base}services/groups/api/{path}", headers=token, **sent)

    wanted = {"until": SOON, "asks": True}
    link = api("manager", "POST", "groups/science%2Fcourse/links", json=wanted)
    assert link.status_code == 201, link.text
    assert api("reader", "POST", f"join/{link.json()['code']}").json()["outcome"] == "asked"
    (request,) = api("manager", "GET", "requests").json()["requests"]
    assert api("other-manager", "GET", "requests").json()["requests"] == []
    assert api("reader", "GET", "requests").json()["requests"] == [], "to read is not to answer"
    for who in ("other-manager", "reader"):
        assert api(who, "POST", f"requests/{request['id']}/approve").status_code == 404
    other = api("member", "POST", f"me/requests/{request['id']}/withdraw")
    assert other.status_code == 404
    assert api("reader", "POST", f"me/requests/{request['id']}/withdraw").is_success


def test_only_admins_make_links_for_managers(hub, tokens):
    for who, status in (("manager", 403), ("head", 403), ("admin", 201)):
        answer = httpx.post(
            f"{hub.base}services/groups/api/groups/science%2Fcourse/links",
            headers={"Authorization": f"token {tokens[who]}"},
            json={"until": SOON, "role": "manager"},
        )
        assert answer.status_code == status
