"""Which groups there are and who is in one, as the hub tells the pages."""

from __future__ import annotations

import httpx
import pytest
from hubs import TOKEN

NAMES = "group-quotas/groups"


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.api("users", "POST", json={"usernames": ["sam", "kim"]})
    hub.api("groups", "POST", json={"groups": ["a/b é"], "users": ["sam", "kim"]})
    hub.api("groups/empty", "POST")
    return hub


def ask(hub, path: str, token: str) -> httpx.Response:
    """Of the hub itself, as the pages do: its proxy makes a slash of `%2F`."""
    return httpx.get(
        f"http://127.0.0.1:{hub.settings['hub_port']}/hub/api/{path}",
        headers={"Authorization": f"token {token}"},
    )


def test_all_groups_and_the_users_of_one_by_name(hub):
    names = ask(hub, NAMES, TOKEN).json()
    assert {"a/b é", "empty"} <= set(names)
    assert names == sorted(group["name"] for group in hub.api("groups").json())
    assert ask(hub, f"{NAMES}/a%2Fb%20%C3%A9", TOKEN).json() == ["kim", "sam"]
    assert ask(hub, f"{NAMES}/empty", TOKEN).json() == []
    assert ask(hub, f"{NAMES}/none", TOKEN).status_code == 404


def test_only_for_who_may_list_all_or_read_that_one(hub):
    admin, user = hub.login("admin"), hub.login("sam")

    def status(path: str, token: str) -> int:
        return ask(hub, path, token).status_code

    assert status(NAMES, admin.token("list:groups")) == 200
    assert status(NAMES, admin.token("list:groups!group=empty")) == 403, "there are others too"
    assert status(NAMES, user.token()) == 403
    assert status(NAMES, "0" * 32) == 403
    assert status(f"{NAMES}/empty", admin.token("read:groups!group=empty")) == 200
    assert status(f"{NAMES}/a%2Fb%20%C3%A9", admin.token("read:groups!group=empty")) in (403, 404)
    assert status(f"{NAMES}/empty", user.token()) in (403, 404)


def known(hub, names: object, token: str) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{hub.settings['hub_port']}/hub/api/group-quotas/users",
        headers={"Authorization": f"token {token}"},
        json=names,
    )


def test_which_of_some_users_there_are(hub):
    assert known(hub, ["sam", "nobody-at-all", "kim", "a/b é"], TOKEN).json() == ["kim", "sam"]
    assert known(hub, [], TOKEN).json() == []
    many = [f"s{n}" for n in range(999)]
    assert known(hub, [*many, "sam"], TOKEN).json() == ["sam"]
    for wrong in ([*many, "a", "b"], {"names": ["sam"]}, [1], "sam"):
        assert known(hub, wrong, TOKEN).status_code == 400
    assert known(hub, ["sam"], hub.login("sam").token()).status_code == 403
    admin = hub.login("admin")
    assert known(hub, ["sam"], admin.token("read:users:name")).status_code == 200
    assert known(hub, ["sam"], admin.token("read:users:name!group=empty")).status_code == 403
