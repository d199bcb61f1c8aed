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


LIMIT = {"group": "course", "key": "member.servers", "amount": "9"}


def test_only_an_admin_changes_a_limit(hub):
    hub.limits("course: {member.servers: 1}")
    for user, status in (("nobody", 403), ("prof-ada", 403), ("admin", 200)):
        visitor = hub.login(user)
        visitor.get("services/quotas/groups")
        token = visitor.xsrf("/services/quotas")
        answer = visitor.post("services/quotas/groups", data={**LIMIT, "_xsrf": token})
        assert answer.status_code == status, user
        assert servers(hub) == (9 if status == 200 else 1)


def test_a_form_from_another_site_changes_nothing(hub):
    hub.limits("course: {member.servers: 1}")
    admin = hub.login("admin")
    admin.get("services/quotas/groups")
    assert admin.post("services/quotas/groups", data=LIMIT).status_code == 403
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
    answer = hub.login("nobody").get("services/launch/?file=../secret")
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
