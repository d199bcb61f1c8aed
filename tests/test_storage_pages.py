"""What people see of storage on a real hub: pages, banner, mail, and addresses."""

from __future__ import annotations

import html
import re

import httpx
import pytest
from axe import violations
from hubs import TOKEN, Hub, Visitor, wait_for
from post import MailServer
from test_axe import log_in, too_wide

from hub_quotas.storage_agent.record import Backups, RestoreTest
from hub_quotas.storage_agent.service import MountState, Service, Use
from hub_quotas.storage_store import Mount, report
from hub_quotas.store import QuotaStore

GIB = 2**30
QUOTAS = "services/quotas/"
PAGE = f"{QUOTAS}storage"
EVIL = "<img src=x onerror=alert(1)>"
FULL = "Your home is nearly full: 9.6 of 10 GiB are used."


@pytest.fixture(scope="module")
def mail():
    server = MailServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hub(start_hub, mail) -> Hub:
    quotas = {
        "smtp_url": f"smtp://127.0.0.1:{mail.port}",
        "email_from": "hub@example.org",
        "email_pattern": "{user}@example.org",
    }
    made = start_hub("storage", quotas=quotas)
    made.limits("geo: {member.storage: 10G, group.storage: 50G}")
    return made


def agent(
    hub: Hub,
    *uses: Use,
    name: str = "homes",
    problems: tuple[str, ...] = (),
    backups: Backups | None = None,
) -> None:
    state = MountState("btrfs, simple quotas", 40 * GIB, 12 * GIB, problems, backups)
    Service(f"{hub.base}services/quotas/api", TOKEN + name).report(state, list(uses), [])


def member(hub: Hub, name: str) -> Visitor:
    visitor = hub.login(name)
    wait_for("the membership", lambda: "geo" in hub.groups(name))
    return visitor


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", " ", answer.text)))


def api(hub: Hub, visitor: Visitor, path: str) -> httpx.Response:
    headers = {"Authorization": f"token {visitor.token()}"}
    return httpx.get(f"{hub.base}services/quotas/api/{path}", headers=headers, timeout=60)


def test_who_fills_a_home_is_told_everywhere_and_only_they(hub, mail):
    pat, ada = member(hub, "pat"), member(hub, "prof-ada")
    agent(hub, Use("user", "pat", int(9.6 * GIB), 10 * GIB), Use("user", "prof-ada", GIB, 10 * GIB))
    said = text(pat.get(QUOTAS))
    assert FULL in said
    assert "To get more, ask prof-ada, who manages geo." in said
    assert FULL not in text(ada.get(QUOTAS))
    wait_for("the banner", lambda: FULL in text(pat.get("hub/home")))
    assert FULL not in text(ada.get("hub/home"))
    (one,) = wait_for("the mail", lambda: mail.of("pat@example.org"))
    assert one["Subject"] == "JupyterHub: Storage of geo fills up"
    assert FULL in one.get_content().replace("\n", " ")
    (notice,) = api(hub, pat, "notices").json()["notices"]
    assert (notice["kind"], notice["group"], notice["over"]) == ("storage", "geo", False)
    agent(hub, Use("user", "pat", GIB, 10 * GIB))
    assert FULL not in text(pat.get(QUOTAS))
    assert len(mail.of("pat@example.org")) == 1


def test_what_programs_are_told_is_what_each_may_know(hub):
    pat, ada, admin = member(hub, "pat"), member(hub, "prof-ada"), hub.login("admin")
    agent(
        *(hub, Use("user", "pat", 4 * GIB, 9 * GIB), Use("user", "prof-ada", GIB, 10 * GIB)),
        *(Use("group", "geo", 20 * GIB, 50 * GIB), Use("other", "homes/old", 7)),
    )
    home, shared = api(hub, pat, "me/storage").json()["directories"]
    assert (home["kind"], home["name"], home["mount"]) == ("user", "pat", "homes")
    assert (home["used"], home["limit"], home["wanted"]) == (4 * GIB, 9 * GIB, 10 * GIB)
    assert (home["wanted_by"], home["group"]) == ("10G of geo", "geo")
    assert home["days"][-1] >= 4 * GIB
    assert (shared["kind"], shared["used"]) == ("group", 20 * GIB)
    assert api(hub, pat, "groups/geo/storage").status_code == 404
    assert api(hub, pat, "storage/mounts").status_code == 403

    found = api(hub, ada, "groups/geo/storage").json()
    assert [one["name"] for one in found["fullest"]] == ["pat", "prof-ada"]
    assert (found["homes"], found["nearly_full"]) == (2, 0)
    assert found["shared"][0]["limit"] == 50 * GIB
    assert api(hub, ada, "storage/mounts").status_code == 403

    mounts = api(hub, admin, "storage/mounts").json()["mounts"]
    (homes,) = (one for one in mounts if one["name"] == "homes")
    assert homes["promised"] == 69 * GIB
    assert homes["nobodys"]["used"] == 7
    assert not homes["stale"]


def test_an_admin_sees_what_is_wrong_and_what_to_do(hub, new_page):
    assert member(hub, "pat").get(PAGE).status_code == 403
    agent(
        hub,
        Use("user", "pat", 11 * GIB, 10 * GIB),
        Use("user", "prof-ada", GIB, 60 * GIB),
        Use("group", "geo", 13 * GIB, None, f"geo is an ordinary directory {EVIL}"),
        Use("other", f"homes/{EVIL}", 3 * GIB),
        problems=(f"homes/pat: {EVIL}",),
        backups=Backups(10**9, 3, 1, (f"homes/kim: {EVIL}",), RestoreTest(10**9, False, ("Oh.",))),
    )
    long_ago = QuotaStore(f"sqlite:///{hub.folder / 'hub_quotas.sqlite'}", clock=lambda: 10**15)
    report(long_ago, Mount("scratch", "xfs, project quotas", 9 * GIB, 8 * GIB), [])
    long_ago.close()
    page = log_in(new_page(), hub, "admin")
    page.goto(hub.base + PAGE)
    assert page.get_by_role("alert").inner_text().startswith("The agent of scratch is silent")
    for said in (
        "times what there is",
        "1 limit could not be set",
        f"geo is an ordinary directory {EVIL}",
        "1 directory is more than four fifths full.",
        "11 GiB of 10 GiB used. Full.",
        "systemctl status hub-storage-agent",
        "late 3 homes have one; the last was made",
        f"homes/kim: {EVIL}",
        "The test that they can be restored failed",
    ):
        assert said in page.locator("main").inner_text(), said
    page.locator("summary").click()
    assert page.get_by_text(f"homes/{EVIL}", exact=True).is_visible()
    assert page.get_by_role("link", name="geo").first.is_visible()
    assert not page.locator("img[src=x]").count()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert not violations(page)
    page.set_viewport_size({"width": 320, "height": 640})
    assert not too_wide(page)


def test_without_an_agent_it_says_how_to_get_one(hub):
    with hub.ledger().db.write() as tx:
        tx.run("DELETE FROM storage_mount")
    said = text(hub.login("admin").get(PAGE))
    assert "No agent has reported yet." in said
    assert '"scopes": ["custom:quotas:storage", "access:services!service=quotas"]' in said
