"""Who uses up a budget is told on the hub's pages, by mail and by API, and stopped in time."""

from __future__ import annotations

import asyncio
import html
import threading
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest
from hubs import Hub, wait_for
from jupyterhub import orm
from jupyterhub.user import User
from post import MailServer, Webhook
from threads import in_a_thread

from hub_quotas import banner, off_loop
from hub_quotas.banner import Banner, in_html
from hub_quotas.notices import Notices, Told
from hub_quotas.store import QuotaStore
from hub_quotas.transaction import LedgerError

# At half a core: 6 seconds until it is used up, and 2 more.
LIMITS = """
course: {member.cpu-hours: 0.000833333 per 7d then stop after 2s}
labs & <b>: {group.cpu-hours: 0.0001 per 7d}
"""
USED_UP_AFTER, GRACE = 6.0, 2.0
SCOPES = ["users:activity!server", "access:servers!server", "access:services!service=quotas"]
SOON = "Your server stops at"
ADA = "prof-ada@example.org"
STOPPED = "Your server was stopped at"
USED_UP = "You have used all of your"


class End:
    """When a process really ended; seconds since 1970."""

    def __init__(self, pid: int) -> None:
        self.at = 0.0
        self._process = psutil.Process(pid)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
        self.at = time.time()


@contextmanager
def running(*servers):
    """Until the end of a test."""
    yield servers
    for server in servers:
        server.stop()


def a_student(hub: Hub):
    hub.limits(LIMITS)
    hub.api("groups/course", "POST")
    student = hub.login("sam")
    assert hub.api("groups/course/users", "POST", json={"users": ["sam"]}).is_success
    return student


def start(hub: Hub) -> int:
    """The process of sam's server."""
    assert hub.api("users/sam/server", "POST").is_success
    wait_for("the server", lambda: hub.server("sam"))
    return hub.server("sam")["state"]["pid"]


def page(visitor, path: str) -> str:
    return html.unescape(visitor.get(path).text)


def check_end(hub: Hub, end: End) -> None:
    """Stopped at the instant that the curve gives, and not a second later."""
    wait_for("the end", lambda: end.at, 30)
    wait_for("the ledger", lambda: not hub.ledger().open_sessions("sam"))
    (session,) = (s for s in hub.ledger().sessions() if s.user == "sam")
    used = session.reserved_at / 1e6 + USED_UP_AFTER
    late, ledger_late = end.at - used - GRACE, session.closed_at / 1e6 - used - GRACE
    print(f"the process ended {late:+.3f} s, the session {ledger_late:+.3f} s from the instant")
    assert 0 <= late < 1
    assert 0 <= ledger_late < 1
    assert session.reason == "member.cpu-hours of course"


def test_warned_everywhere_and_stopped_in_time(fresh_hub):
    with running(MailServer(), Webhook()) as (mail, webhook):
        quotas = {
            "smtp_url": f"smtp://127.0.0.1:{mail.port}",
            "webhook_url": webhook.url,
            "email_from": "hub@example.org",
            "email_pattern": "{user}@example.org",
        }
        hub = fresh_hub("notices", quotas=quotas, base_url="/pre/", server_token_scopes=SCOPES)
        sam, kim = a_student(hub), hub.login("kim")
        hub.api("groups/labs%20%26%20%3Cb%3E", "POST")
        hub.api("groups/labs%20%26%20%3Cb%3E/users", "POST", json={"users": ["kim"]})
        hub.ledger().reserve("another's", "bob", "", ["labs & <b>"], {"cpu": 4000})
        assert 'role="status"' not in page(sam, "hub/home")
        end = End(pid := start(hub))
        token = psutil.Process(pid).environ()["JUPYTERHUB_API_TOKEN"]

        # Above the hub's pages, after what the admin announces.
        wait_for("the warning", lambda: SOON in page(sam, "hub/home"), 7)
        home, spawn = sam.get("hub/home").text, page(sam, "hub/spawn/sam/two")
        assert "All: closed on <b>Friday</b>" in home
        assert 'href="/pre/services/quotas/">My usage</a>' in home
        assert "Spawn: hello sam" in spawn
        assert SOON in spawn
        assert "All: closed" not in spawn
        for path in ("hub/home", "hub/spawn/kim/two"):
            assert SOON not in page(kim, path)
            assert "labs &amp; &lt;b&gt; has used all of its" in kim.get(path).text, "her group"
        assert "All: closed on <b>Friday</b>" in page(kim, "hub/token")
        assert SOON in page(sam, "services/quotas/")

        check_who_may_ask(hub, sam, token)

        check_end(hub, end)
        check_api(sam)
        wait_for("the page to tell it", lambda: STOPPED in page(sam, "hub/home"), 7)
        assert STOPPED in page(sam, "services/quotas/")
        wait_for("that to be over", lambda: SOON not in page(sam, "services/quotas/"), 7)

        check_sent(hub, mail, webhook)
        assert Webhook.SECRET not in hub.log

        with hub.ledger().db.write() as tx:
            tx.run("ALTER TABLE notice RENAME TO away")
        answer = sam.get(API)
        assert (answer.status_code, answer.json()["status"]) == (503, 503)


def check_sent(hub: Hub, mail: MailServer, webhook: Webhook) -> None:
    """Each notice once to each whom it is for."""
    with hub.ledger().db.read() as tx:
        rows = tx.all("SELECT id, at, kind, user_name, group_name, text, over_at FROM notice")
    all_told = [Told(*row) for row in rows]
    sams = [notice for notice in all_told if notice.user == "sam"]
    ends = [n for n in sams if n.kind in ("used-up", "stopped")]
    posted = [n for n in all_told if n.user == "" or n.kind == "stopped"]
    assert len(ends) == 2
    assert {n.user for n in posted} == {"", "sam"}
    wait_for("the webhook", lambda: len(webhook.texts) >= len(posted))
    wait_for("mail", lambda: any(STOPPED in m.get_content() for m in mail.of(ADA)))
    time.sleep(2)  # nothing comes twice
    assert sorted(m["Subject"] for m in mail.of(ADA)) == [
        "JupyterHub: A budget in course is used up",
        "JupyterHub: A server in course was stopped",
    ]
    assert all(m.get_content().startswith("sam was told: You") for m in mail.of(ADA))
    texts = [m.get_content().strip() for m in mail.of("sam@example.org")]
    over = [text for text in texts if text.startswith(SOON)]
    assert len(over) == 1
    assert sorted(texts) == sorted(n.text for n in sams)
    texts = [("sam was told: " if n.user else "") + n.text for n in posted]
    assert sorted(webhook.texts) == sorted(html.escape(text) for text in texts)


API = "services/quotas/api/notices"


def told(sam) -> list[dict]:
    return sam.get(API).json()["notices"]


def check_who_may_ask(hub: Hub, sam, token: str) -> None:
    """`token` is that of sam's server."""

    def ask(token: str) -> httpx.Response:
        return httpx.get(hub.base + API, headers={"Authorization": f"token {token}"})

    assert any(notice["text"].startswith(SOON) for notice in ask(token).json()["notices"])
    for wrong in ("wrong", hub.settings["token"]):
        answer = ask(wrong)
        assert answer.status_code == answer.json()["status"]
        assert answer.status_code in (401, 403)
    assert httpx.get(hub.base + API).status_code == 401


def check_api(sam) -> None:
    """What is told on the pages, for programs."""
    stopped = wait_for("notice", lambda: [n for n in told(sam) if n["kind"] == "stopped"])[0]
    assert stopped["text"].startswith(STOPPED)
    assert (stopped["group"], stopped["over"]) == ("course", True)
    assert stopped["at"].endswith("Z")
    last = max(notice["id"] for notice in told(sam))
    assert sam.get(f"{API}?since={last}").json() == {"notices": []}
    assert stopped in sam.get(f"{API}?since={stopped['id'] - 1}").json()["notices"]
    etag = sam.get(API).headers["ETag"]
    again = sam.get(API, headers={"If-None-Match": etag})
    assert (again.status_code, again.text) == (304, "")
    wrong = sam.get(f"{API}?since=yesterday")
    assert wrong.status_code == 400
    assert wrong.json()["detail"].startswith("since: ")


@pytest.mark.slow
def test_on_an_older_hub(fresh_hub, hub55):
    hub = fresh_hub("notices", python=hub55)
    sam = a_student(hub)
    end = End(pid := start(hub))
    token = psutil.Process(pid).environ()["JUPYTERHUB_API_TOKEN"]
    wait_for("the warning", lambda: SOON in page(sam, "hub/home"), 7)
    assert "All: closed on <b>Friday</b>" in sam.get("hub/home").text
    assert SOON in page(sam, "services/quotas/")
    assert any(notice["text"].startswith(SOON) for notice in told(sam))
    answer = httpx.get(hub.base + API, headers={"Authorization": f"token {token}"})
    assert answer.status_code == 403, "servers' tokens may not by themselves"
    assert answer.json()["detail"].endswith("it needs the scope access:services!service=quotas.")
    check_end(hub, end)
    wait_for("the page to tell it", lambda: STOPPED in page(sam, "hub/home"), 7)


# -- without a hub ---------------------------------------------------------------------------------


@pytest.fixture
def sam():
    """One of the hub's users, as its pages have them."""
    db = orm.new_session_factory("sqlite:///:memory:")()
    user = orm.User(name="sam")
    db.add_all([user, orm.Group(name="course/<b>", users=[user])])
    db.commit()
    return User(user, settings={})


@in_a_thread
async def test_what_is_shown_stays_while_the_ledger_is_away(tmp_path, sam, monkeypatch, caplog):
    monkeypatch.setattr(banner, "_REFRESH_SECONDS", 0.05)
    store = QuotaStore(f"sqlite:///{tmp_path}/ledger.sqlite")
    Notices(store).tell("one", "used-up", "", "course", "course & <all> of it")
    shown = Banner(lambda: store, "/a&b/")
    assert shown.show(sam) == "", "nothing is known yet"
    said = (
        '<div role="status">course &amp; &lt;all&gt; of it<br>'
        '<a class="alert-link" href="/a&amp;b/">My usage</a> · '
        '<a class="alert-link" href="/a&amp;b/help">Get help</a></div>'
    )
    await until(lambda: shown.show(sam) == said)
    with store.db.write() as tx:
        tx.run("ALTER TABLE notice RENAME TO away")
    await until(lambda: "Notices are shown as they were" in caplog.text)
    await asyncio.sleep(0.3)
    assert caplog.text.count("Notices are shown as they were") == 1
    assert shown.show(sam) == said
    with store.db.write() as tx:
        tx.run("ALTER TABLE away RENAME TO notice")
    Notices(store).over(["one"])
    await until(lambda: shown.show(sam) == "")


@in_a_thread
async def test_one_read_at_most_waits_for_a_ledger_that_hangs(sam, monkeypatch):
    monkeypatch.setattr(banner, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(off_loop, "PATIENCE", 0.05)
    waiting, answer = [], threading.Event()

    def open_store():
        waiting.append(1)
        answer.wait(10)
        raise LedgerError("away")

    shown = Banner(open_store, "/")
    shown.start()
    await asyncio.sleep(0.5)
    assert len(waiting) == 1
    assert shown.show(sam) == ""
    answer.set()
    await until(lambda: len(waiting) > 1)


def test_many_notices_are_a_few_and_where_there_are_more(sam):
    shown = in_html(["a", "b", "c", "d", "e"], "/usage", "/help")
    assert shown == (
        '<div role="status">a<br>b<br>c<br>'
        '2 more in <a class="alert-link" href="/usage">My usage</a> · '
        '<a class="alert-link" href="/help">Get help</a></div>'
    )


def test_nobody_and_services_are_shown_only_what_the_admin_says(sam):
    """It is asked on every page, also before anybody is logged in."""
    page = Banner(lambda: None, "/").beside({"announcement": "closed", "mine": 1})
    assert (page["announcement"], page["mine"]) == ("closed", 1)
    for user in (None, orm.Service(name="cron"), sam):
        assert page["announcement_home"](user) == "closed"
    assert Banner(lambda: None, "/").beside({})["announcement_spawn"](None) == ""


async def until(check) -> None:
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
