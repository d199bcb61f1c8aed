"""The pages keep to what each visitor may see and do."""

from __future__ import annotations

import json

import httpx
import psutil
import pytest


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub("formless", slow_spawn_timeout=10)


def servers(hub) -> int:
    (limit,) = hub.ledger().policy().limits_of("course")
    return limit.amount


GROUP = "services/quotas/groups/course"


def test_managers_change_what_holds_for_members_but_not_what_the_group_was_given(hub):
    for user, key, status in (
        ("nobody", "member.servers", 404),
        ("prof-ada", "group.servers", 400),
        ("prof-ada", "member.servers", 200),
        ("admin", "group.servers", 200),
    ):
        hub.limits("course: {member.servers: 1, group.servers: 20}")
        visitor = hub.login(user)
        visitor.get("services/quotas/")
        form = {"new_key": key, "new_amount": "9", "_xsrf": visitor.xsrf("/services/quotas")}
        answer = visitor.post(GROUP, data=form)
        assert answer.status_code == status, user
        held = {limit.key: limit.amount for limit in hub.ledger().policy().limits_of("course")}
        before = {"member.servers": 1, "group.servers": 20}
        assert held == ({**before, key: 9} if status == 200 else before)


def test_the_api_takes_tokens_and_says_what_is_wrong(hub):
    hub.limits("course: {member.servers: 1}")
    me = f"{hub.base}services/quotas/api/me"
    problem = httpx.get(me)
    assert problem.status_code == 401
    assert problem.headers["Content-Type"] == "application/problem+json"
    token = hub.login("nobody").token()
    answer = httpx.get(me, headers={"Authorization": f"token {token}"})
    assert answer.json()["user"] == "nobody"
    assert [group["group"] for group in answer.json()["groups"]] == ["default"]
    assert httpx.post(me, headers={"Authorization": f"token {token}"}).status_code == 405
    document = httpx.get(f"{hub.base}services/quotas/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert "What I may use" in hub.login("nobody").get("services/quotas/api/").text


def test_a_form_from_another_site_changes_nothing(hub):
    hub.limits("course: {member.servers: 1}")
    admin = hub.login("admin")
    admin.get("services/quotas/groups")
    form = {"new_key": "member.servers", "new_amount": "9"}
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert admin.post(GROUP, data=form, headers=elsewhere).status_code == 403
    asked = admin.post(GROUP, data=form)
    assert asked.status_code == 403
    assert "Nothing is lost" in asked.text
    assert servers(hub) == 1


def test_names_are_shown_as_text(hub):
    admin = hub.login("admin")
    hub.api("groups/%3Cb%3Ebold", "POST")
    for page in ("quotas/groups", "launch/?label=%3Cb%3Ebold&file=%3Cb%3Ebold", "groups/"):
        answer = admin.get(f"services/{page}")
        assert answer.status_code == 200
        assert "<b>bold" not in answer.text


def test_pages_can_not_be_framed_and_load_nothing_from_elsewhere(hub):
    headers = hub.login("nobody").get("services/quotas/").headers
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"


def test_who_is_not_logged_in_is_sent_to_the_login(hub):
    for service in ("groups", "quotas", "launch"):
        answer = httpx.get(f"{hub.base}services/{service}/", follow_redirects=True)
        assert answer.url.path == "/hub/login"


def test_an_address_that_is_not_there(hub):
    answer = hub.login("nobody").get("services/quotas/none")
    assert answer.status_code == 404
    assert "There is no such page." in answer.text


def test_a_launch_link_that_can_not_work_is_explained(hub):
    answer = hub.login("nobody").get("services/launch/open?file=../secret")
    assert answer.status_code == 400
    assert "is not a path within" in answer.text


def test_no_secret_is_in_the_log(hub):
    hub.login("nobody").get("services/quotas/")
    pages = next(
        process
        for process in psutil.Process(hub.process.pid).children(recursive=True)
        if "hub_groups.host" in " ".join(process.cmdline())
    )
    host = json.loads(pages.environ()["GROUP_QUOTAS_HOST"])
    secrets = [host["cookie_secret"], *(spec["token"] for spec in host["services"].values())]
    assert len(secrets) == 4
    for secret in secrets:
        assert secret not in hub.log
        assert secret not in " ".join(pages.cmdline()), "anybody on the machine could read it"
