"""Members ask, managers are told and answer: on real pages, by mail and by API."""

from __future__ import annotations

import html
import re
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import httpx
import pytest
import yaml
from hubs import Hub, Visitor, wait_for
from playwright.sync_api import Page, expect
from post import MailServer, Webhook

from hub_groups.joining import WantedLink
from hub_groups.links import answer, join, make_link, waiting
from hub_groups.people import By
from hub_groups.store import GroupStore
from hub_quotas.access import ACT
from hub_quotas.policy import parse_policy

ROSTER = """user,group,role
prof-ada,earth/geo-101,manager
prof-bo,earth,manager
sam,earth/geo-101,
kim,earth/geo-101,
@here,earth/geo-101,
"""
GROUP = "earth/geo-101"
POLICY = """
earth: {limits: {group.cpu-hours: 200 per 7d, group.gpu: 4}}
earth/geo-101:
  limits: {member.cpu-hours: 40 per 7d, member.servers: 1, group.gpu: 2, group.servers: 5}
other: {managers: [eve], limits: {member.servers: 1}}
"""
SOON = (datetime.now(timezone.utc) + timedelta(days=30)).date().isoformat()
API = "services/quotas/api"


def reset(hub: Hub) -> None:
    """Nothing asked, nothing given."""
    hub.ledger().apply(parse_policy({"groups": yaml.safe_load(POLICY)}), "tests", "tests")
    with hub.ledger().db.write() as tx:
        tx.run("DELETE FROM ask")


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("asks", roster=ROSTER)
    for user in ("sam", "kim", "prof-ada", "prof-bo"):
        hub.login(user)
    return hub


@pytest.fixture(autouse=True)
def nothing_asked(request):
    if "hub" in request.fixturenames:
        reset(request.getfixturevalue("hub"))


def form(limit: str = "member.servers - earth/geo-101", amount: str = "2", **other: str):
    return {"limit": limit, "amount": amount, "day": SOON, "why": "thesis", **other}


def send(visitor: Visitor, page: str, headers=None, **data: str) -> httpx.Response:
    """Args:
    headers: forged ones, with which nobody goes where the answer sends them.
    """
    visitor.get(f"services/quotas/{page}")
    data["_xsrf"] = visitor.xsrf("/services/quotas")
    return visitor.post(
        f"services/quotas/{page}", data=data, headers=headers, follow_redirects=not headers
    )


def boosts(hub: Hub) -> list[tuple[str, str, str]]:
    group = hub.ledger().policy().groups[GROUP]
    return [(boost.member, boost.limit.key, boost.limit.text) for boost in group.boosts]


def text(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# -- told ------------------------------------------------------------------------------------------


@contextmanager
def running(*servers):
    yield servers
    for server in servers:
        server.stop()


def test_managers_are_told_and_so_is_who_has_asked(fresh_hub):
    with running(MailServer(), Webhook()) as (mail, webhook):
        quotas = {
            "smtp_url": f"smtp://127.0.0.1:{mail.port}",
            "webhook_url": webhook.url,
            "email_from": "hub@example.org",
            "email_pattern": "{user}@example.org",
        }
        hub = fresh_hub(
            "asks", roster=ROSTER, quotas=quotas, base_url="/pre/", knows_its_address=True
        )
        reset(hub)
        sam, ada, bo = (hub.login(user) for user in ("sam", "prof-ada", "prof-bo"))
        forged = dict.fromkeys(("Host", "X-Forwarded-Host"), "evil.example.org")
        hours = form("member.cpu-hours 7d earth/geo-101", "80")
        assert send(sam, "ask", headers=forged, **hours).status_code == 302
        wait_for("the mail", lambda: mail.of("prof-ada@example.org"))
        wait_for("the webhook", lambda: webhook.texts)
        (message,) = mail.of("prof-ada@example.org")
        assert message["Subject"] == "JupyterHub: A member of earth/geo-101 asks for more"
        until = datetime.fromisoformat(SOON)
        said = (
            f"sam asks for 80 CPU-hours in any 7 days in earth/geo-101 until {until.day} "
            f"{until:%b %Y}: thesis\nAnswer: {hub.base}services/quotas/asks#ask-1"
        )
        assert message.get_content().strip() == said
        assert webhook.texts == [said]
        path = said.partition(hub.base)[2]
        assert "sam asks for 80 CPU-hours in any 7 days" in ada.get(path).text

        given = send(
            ada, "asks", id="1", action="approve", amount="60", day=SOON, words="Fine & ok"
        )
        assert "sam has 60 CPU-hours in any 7 days in earth/geo-101 until" in text(given)
        wait_for("the answer", lambda: mail.of("sam@example.org"))
        (message,) = mail.of("sam@example.org")
        assert message["Subject"] == "JupyterHub: The answer about more in earth/geo-101"
        assert message.get_content().startswith("prof-ada has given you 60 CPU-hours in any 7 days")
        assert message.get_content().endswith("Fine & ok\n")

        # What the group has as a whole: also to who can give it, each once. Names call nobody.
        here = hub.login("@here")
        send(here, "ask", **form("group.gpu - earth/geo-101", "3", why="<!channel> @all"))
        for who in ("prof-ada", "prof-bo"):
            address = f"{who}@example.org"
            wait_for("mail", lambda a=address: any("3 GPUs" in str(m) for m in mail.of(a)))
        wait_for("the webhook", lambda: len(webhook.texts) == 2)
        assert webhook.texts[1].startswith("@\u200bhere asks for 3 GPUs for the whole of earth/")
        assert "&lt;!channel&gt; @\u200ball\nAnswer: http://" in webhook.texts[1]
        assert "only decline" in ada.get("services/quotas/asks").text
        assert "Approve" in bo.get("services/quotas/asks").text
        assert len(mail.mails) == 4
        assert 'role="status"' not in ada.get("hub/home").text, "no banner: it stands on its page"


@pytest.mark.slow
def test_without_the_hubs_address_the_link_is_a_path(fresh_hub):
    with running(Webhook()) as (webhook,):
        hub = fresh_hub("asks", roster=ROSTER, quotas={"webhook_url": webhook.url})
        reset(hub)
        send(hub.login("sam"), "ask", **form())
        wait_for("the webhook", lambda: webhook.texts)
        assert webhook.texts[0].endswith("\nAnswer: /services/quotas/asks#ask-1")


# -- pages -----------------------------------------------------------------------------------------


def test_a_student_asks_a_manager_approves_the_limit_is_larger(hub):
    sam, ada = hub.login("sam"), hub.login("prof-ada")
    page = sam.get("services/quotas/ask?group=earth/geo-101&limit=member.servers")
    assert '<option value="member.servers - earth/geo-101" selected>' in page.text
    assert "0 of 1 server" in text(page)
    asked = send(sam, "ask", **form())
    assert asked.url.path == "/services/quotas/ask"
    assert "You have asked for 2 servers in earth/geo-101. Who can answer: prof-ada." in text(asked)
    waiting = ada.get("services/quotas/asks")
    assert "1 waits for an answer" in waiting.text
    assert "earth/geo-101, the whole group 0 of 5 servers" in text(waiting), "what there is to give"
    assert "in earth/geo-101 , for sam alone, until" in text(waiting), "and not for each member"
    (id,) = re.findall(r'name="id" value="(\d+)"', waiting.text)[:1]
    assert hub.api("users/sam/server", "POST").is_success
    assert hub.api("users/sam/servers/two", "POST").status_code == 403
    done = send(ada, "asks", id=id, action="approve")
    assert "sam has 2 servers in earth/geo-101 until" in text(done)
    assert boosts(hub) == [("sam", "member.servers", "2")]
    assert hub.api("users/sam/servers/two", "POST").is_success
    assert "prof-ada gave 2 servers until" in text(sam.get("services/quotas/ask"))
    again = send(ada, "asks", id=id, action="decline", words="no")
    assert (again.status_code, boosts(hub)) == (409, [("sam", "member.servers", "2")])
    assert "prof-ada has approved this already." in again.text
    for name in ("server", "servers/two"):
        hub.api(f"users/sam/{name}", "DELETE")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"amount": "1"}, "That is 1 server now already; write a larger amount."),
        ({"amount": "<b>2"}, "'<b>2' is not a whole number"),
        ({"day": "2020-01-01"}, "2020-01-01 is over; write a later day."),
        ({"day": ""}, "Say until when: a day, such as 2026-12-01."),
        ({"why": " "}, "Say what you need it for."),
        ({"limit": "member.servers - other"}, "other has no limit member.servers that could be"),
        ({"limit": ""}, "– has no limit – that could be raised."),
    ],
)
def test_what_was_typed_stays_where_it_was_wrong(hub, typed, said):
    sam = hub.login("sam")
    answer = send(sam, "ask", **{**form(amount="2", why="my <thesis>"), **typed})
    assert answer.status_code == 400
    assert html.escape(said, quote=True).replace("&#x27;", "&#39;") in answer.text
    if "amount" not in typed:
        assert 'value="2"' in answer.text
    if "why" not in typed:
        assert ">my &lt;thesis&gt;</textarea>" in answer.text
    assert "Nothing so far." in answer.text


def test_while_somebody_types_only_what_is_typed_is_judged(hub):
    sam = hub.login("sam")
    for typed, status, said in (
        ({"amount": "", "day": ""}, 200, "Now, in earth/geo-101"),
        ({"amount": "1", "day": ""}, 400, "That is 1 server now already"),
        ({"amount": "3", "day": ""}, 200, "Now, in earth/geo-101"),
        ({"amount": "3", "day": SOON, "why": ""}, 200, "You ask for 3 servers."),
    ):
        answer = send(sam, "ask", **{**form(), **typed, "check": "1"})
        assert (answer.status_code, said in text(answer)) == (status, True), typed
    assert hub.ledger().audit()[0].by.who == "tests"
    assert "Nothing so far." in answer.text


def test_ten_times_a_day_on_the_page_too(hub):
    sam = hub.login("sam")
    for number in range(10):
        assert send(sam, "ask", **form(amount=str(2 + number))).status_code == 200
    answer = send(sam, "ask", **form(amount="99"))
    assert answer.status_code == 429
    assert "You have asked 10 times in 24 hours. You can ask again on " in answer.text
    assert 'value="99"' in answer.text
    assert sam.get("services/quotas/ask").text.count("Withdraw:") == 1


def test_withdrawn_on_the_page(hub):
    sam, kim = hub.login("sam"), hub.login("kim")
    send(sam, "ask", **form())
    (id,) = re.findall(r'name="id" value="(\d+)"', sam.get("services/quotas/ask").text)
    assert send(kim, "ask", action="withdraw", id=id).status_code == 404
    assert send(sam, "ask", action="withdraw", id="x" * 99).status_code == 404
    assert "withdrawn" in send(sam, "ask", action="withdraw", id=id).text
    assert send(sam, "ask", action="withdraw", id=id).status_code == 409


def test_a_manager_gives_no_more_than_the_group_has_and_what_was_typed_stays(hub):
    sam, ada = hub.login("sam"), hub.login("prof-ada")
    send(sam, "ask", **form("member.cpu-hours 7d earth/geo-101", "300"))
    (id, *_) = re.findall(r'name="id" value="(\d+)"', ada.get("services/quotas/asks").text)
    refused = send(ada, "asks", id=id, action="approve")
    assert refused.status_code == 403
    assert "earth has 200 CPU-hours itself, so nobody below can have 300" in refused.text
    wrong = send(ada, "asks", id=id, action="approve", amount="lots", day=SOON, words="<So>")
    assert wrong.status_code == 400
    assert 'value="lots"' in wrong.text
    assert ">&lt;So&gt;</textarea>" in wrong.text
    assert boosts(hub) == []
    declined = send(ada, "asks", id=id, action="decline", words="Not <now>")
    assert "You have said no to sam." in text(declined)
    assert "prof-ada said no, just now . Not <now>" in text(sam.get("services/quotas/ask"))


def tabs(page: httpx.Response) -> list[str]:
    """Of the quotas, as they are read."""
    nav = re.search(r'<nav aria-label="Quotas".*?</nav>', page.text, re.DOTALL)
    return re.findall(r'class="nav-link[^>]*>([^<]*)</a>', nav[0] if nav else "")


def test_tabs_say_what_waits_and_have_no_prices_where_there_are_none(hub):
    sam, ada, bo, eve = (hub.login(name) for name in ("sam", "prof-ada", "prof-bo", "eve"))
    assert tabs(ada.get("services/quotas/"))[:4] == [
        *("My usage", "Help", "Groups and limits", "Requests")
    ]
    send(sam, "ask", **form())
    assert "Requests (1)" in tabs(ada.get("services/quotas/"))
    assert "Requests (1)" in tabs(bo.get("services/quotas/groups"))
    assert "Requests" in tabs(eve.get("services/quotas/")), "of other groups"
    assert "Requests" in tabs(hub.login("reader").get("services/quotas/asks")), "who only looks"
    assert tabs(sam.get("services/quotas/")) == ["My usage", "Help"]
    (id, *_) = re.findall(r'name="id" value="(\d+)"', ada.get("services/quotas/asks").text)
    assert "Requests" in tabs(send(ada, "asks", id=id, action="decline"))
    prices = {"prices": [{"since": "2026-01-01", "cpu": 0.04}]}
    hub.ledger().apply(parse_policy(prices), "tests", "tests")
    assert "Plans and prices" in tabs(sam.get("services/quotas/"))


def waits(visitor: Visitor) -> list[str]:
    """What the hub's home page says that waits for their answer."""
    page = visitor.get("hub/home").text
    found = re.search(r'<section[^>]*aria-label="Waiting for your answer".*?</section>', page)
    return re.findall(r'<a [^>]*href="([^"]*)">([^<]*)</a>', found[0]) if found else []


def test_the_home_page_says_who_waits_for_an_answer(hub):
    sam, kim, ada, bo, eve, admin, reader = (
        hub.login(name) for name in ("sam", "kim", "prof-ada", "prof-bo", "eve", "admin", "reader")
    )
    assert [waits(one) for one in (sam, ada, admin)] == [[], [], []]
    for who in (sam, kim):
        send(who, "ask", **form())
    two = ("/services/quotas/asks", "2 requests for more")
    assert [waits(one) for one in (ada, bo, admin)] == [[two]] * 3
    assert [waits(one) for one in (sam, eve, reader)] == [[]] * 3, "who can not answer"
    groups = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    by, until = By("admin", "page"), groups.clock() + 1000
    link = make_link(groups, "earth/geo-101", WantedLink(until=until, asks=True), by)
    join(groups, link.code, "lone", "page")
    one = ("/services/groups/groups", "1 person asks to join")
    try:
        assert [waits(who) for who in (ada, bo, admin)] == [[two, one]] * 3
        assert [waits(who) for who in (sam, eve, reader)] == [[]] * 3
        assert "1 waits" in text(ada.get(one[0].lstrip("/"))), "where the link leads"
        (asked,) = waiting(groups, lambda group: True)
        answer(groups, asked.id, approve=False, by=by, may=lambda group: True)
        for id in re.findall(r'name="id" value="(\d+)"', ada.get(two[0].lstrip("/")).text):
            send(ada, "asks", id=id, action="decline")
        assert [waits(who) for who in (ada, bo, admin)] == [[]] * 3
    finally:
        groups.close()


def test_pages_say_who_gets_what_is_asked(hub):
    sam, lone = hub.login("sam"), hub.login("lone")
    hub.limits(f"{{{GROUP}: {{member.memory: 4G}}, default: {{member.servers: 1}}}}")
    for path in ("ask", "help", "menu"):
        said = text(sam.get(f"services/quotas/{path}")).lower()
        assert "it goes to those who manage the group" in said, path
        said = text(lone.get(f"services/quotas/{path}")).lower()
        assert "it goes to the admins of this hub" in said, path
        assert "those who manage" not in said, path
    assert 'placeholder="8G"' in sam.get("services/quotas/ask").text
    assert 'placeholder="2"' in lone.get("services/quotas/ask").text


def test_who_only_sees_it_can_not_answer(hub):
    reader = hub.login("reader")
    send(hub.login("sam"), "ask", **form())
    page = reader.get("services/quotas/asks")
    assert "sam asks for 2 servers" in page.text
    assert "You can see this, and not answer it." in page.text
    assert "Decline" not in page.text
    boosts_page = reader.get("services/quotas/boosts?group=earth/geo-101").text
    assert "Nobody has more than the limits say." in boosts_page
    assert "Give more for a while" not in boosts_page


def test_boosts_are_given_and_ended_on_their_page(hub):
    ada = hub.login("prof-ada")
    page = "boosts?group=earth/geo-101"
    assert "Nobody has more than the limits say." in ada.get(f"services/quotas/{page}").text
    grant = {**form(amount="3"), "action": "grant", "group": GROUP, "member": "sam"}
    assert send(ada, page, **grant).status_code == 200
    stranger = send(ada, page, **{**grant, "member": "eve"})
    assert stranger.status_code == 400
    assert "eve is not in earth/geo-101, nor in a group below it." in stranger.text
    assert 'value="eve"' in stranger.text
    for_all = {**grant, "member": "", "amount": "4", "back": "/services/quotas/groups"}
    assert send(ada, page, **for_all).url.path == "/services/quotas/groups", "back where they were"
    away = {**grant, "member": "kim", "amount": "5", "back": "//evil.example.org/services/quotas/"}
    assert send(ada, page, **away).url.path == "/services/quotas/boosts"
    split = {**away, "member": "sam", "back": "/services/quotas/\r\nX-Hostile: 1"}
    answer = send(ada, page, **split)
    assert (answer.status_code, answer.url.path) == (200, "/services/quotas/boosts")
    assert boosts(hub) == [
        (who, "member.servers", amount)
        for who, amount in (("sam", "3"), ("", "4"), ("kim", "5"), ("sam", "5"))
    ]
    shown = ada.get(f"services/quotas/{page}").text
    version = re.search(r'name="version" value="(\d+)"', shown)[1]
    end = {"action": "end", "group": GROUP, "number": "1", "version": version}
    assert send(ada, page, **end).status_code == 200
    assert [who for who, *_ in boosts(hub)] == ["", "kim", "sam"]
    late = send(ada, page, **end)
    assert late.status_code == 412
    assert "prof-ada has changed earth/geo-101 since you opened it." in late.text
    assert [who for who, *_ in boosts(hub)] == ["", "kim", "sam"]
    as_a_whole = {**grant, "limit": "group.gpu - earth/geo-101", "member": ""}
    refused = send(ada, page, **as_a_whole)
    assert (refused.status_code, len(boosts(hub))) == (403, 3)
    assert send(hub.login("prof-bo"), page, **as_a_whole).status_code == 200
    assert hub.ledger().audit(GROUP)[0].by.why == "thesis"


def test_who_sees_what(hub):
    sam, eve, admin = hub.login("sam"), hub.login("eve"), hub.login("admin")
    send(sam, "ask", **form())
    statuses = {
        path: [visitor.get(f"services/quotas/{path}").status_code for visitor in (sam, eve, admin)]
        for path in (
            *("ask", "asks", "boosts?group=earth/geo-101", "boosts?group=none", "boosts"),
            "boosts?group=other",
        )
    }
    assert statuses == {
        "ask": [200, 200, 200],
        "asks": [403, 200, 200],
        "boosts?group=earth/geo-101": [404, 404, 200],
        "boosts?group=none": [404, 404, 200],
        "boosts": [404, 404, 404],
        "boosts?group=other": [404, 200, 200],
    }
    assert "sam" not in eve.get("services/quotas/asks").text
    assert "sam asks for 2 servers" in admin.get("services/quotas/asks").text
    (id, *_) = re.findall(r'name="id" value="(\d+)"', admin.get("services/quotas/asks").text)
    assert send(eve, "asks", id=id, action="approve").status_code == 404
    assert send(sam, "asks", id=id, action="approve").status_code == 403
    admin.get("services/quotas/asks")
    assert admin.post("services/quotas/asks", data={"id": id}).status_code == 403, "no XSRF token"
    assert boosts(hub) == []
    grant = {**form(), "action": "grant", "group": GROUP, "member": "sam"}
    assert send(eve, "boosts?group=other", **grant).status_code == 404


# -- API -------------------------------------------------------------------------------------------


class Client:
    """Somebody's program, with all that they may or less."""

    def __init__(self, hub: Hub, user: str, *scopes: str) -> None:
        self._hub = hub
        self._token = hub.login(user).token(*scopes)

    def __call__(self, method: str, path: str, **options) -> httpx.Response:
        headers = {"Authorization": f"token {self._token}"}
        return httpx.request(method, f"{self._hub.base}{API}/{path}", headers=headers, **options)


ASK = {"group": GROUP, "limit": "member.servers", "amount": "2", "until": SOON, "why": "thesis"}
PATH = "groups/earth%2Fgeo-101/boosts"


def test_asks_for_programs(hub):
    sam, ada, eve = (Client(hub, user) for user in ("sam", "prof-ada", "eve"))
    made = sam("POST", "asks", json=ASK)
    assert made.status_code == 201
    asked = made.json()
    assert asked.items() >= {**ASK, "user": "sam", "state": "open", "answered_at": None}.items()
    hours = {**ASK, "limit": "member.cpu-hours", "amount": "80"}
    other = sam("POST", "asks", json=hours).json()
    assert other["amount"] == "80 per 7d"
    assert sam("GET", "asks").json() == {"asks": [other, asked], "next": None}
    assert sam("GET", "asks?limit=1").json() == {"asks": [other], "next": 1}
    assert ada("GET", "asks").json()["asks"] == []
    assert ada("GET", "asks?of=managed&state=open").json()["asks"] == [other, asked]
    assert eve("GET", "asks?of=managed").json()["asks"] == []
    assert sam("GET", "asks?of=managed").status_code == 403
    here = f"asks/{asked['id']}"
    given = ada("POST", f"{here}/approve", json={"amount": "3", "words": "Fine"})
    assert given.status_code == 200
    assert (
        given.json().items()
        >= {
            **{"state": "approved", "answered_by": "prof-ada", "answer": "Fine"},
            **{"given": "3", "given_until": SOON, "amount": "2"},
        }.items()
    )
    assert boosts(hub) == [("sam", "member.servers", "3")]
    assert hub.ledger().audit(GROUP)[0].by.via == "api"
    second = ada("POST", f"{here}/decline")
    assert (second.status_code, second.json()["reason"]) == (409, "answered")
    assert second.json()["detail"] == "prof-ada has approved this already."
    there = f"asks/{other['id']}"
    assert ada("POST", f"{there}/decline", json={"words": "No"}).json()["state"] == "declined"
    assert [a["state"] for a in ada("GET", "asks?of=managed").json()["asks"]] == [
        *("declined", "approved"),
    ]
    third = sam("POST", "asks", json=hours).json()
    assert sam("POST", f"asks/{third['id']}/withdraw").json()["state"] == "withdrawn"
    assert sam("GET", "asks?state=withdrawn").json()["asks"][0]["id"] == third["id"]
    assert ada("GET", "asks?of=managed&state=withdrawn").json()["asks"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ASK, "amount": "1"}, "amount: That is 1 server now already; write a larger amount."),
        ({**ASK, "until": "9999-12-31"}, "until: the year 9999 can't be counted"),
        ({**ASK, "why": "\u0000"}, "why: This has characters that can't be shown"),
        ({**ASK, "group": "\u0000"}, "limit: \u0000 has no limit member.servers"),
        ({**ASK, "group": "other"}, "limit: other has no limit member.servers that could be"),
        (
            {**ASK, "limit": "member.cpu-hours", "window": "9d"},
            "window: member.cpu-hours of earth/",
        ),
        ({**ASK, "extra": 1}, "extra: Extra inputs are not permitted."),
        ({"group": GROUP}, "limit: Field required."),
    ],
)
def test_what_programs_get_wrong(hub, body, said):
    answer = Client(hub, "sam")("POST", "asks", json=body)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(said)


def test_boosts_for_programs(hub):
    ada, sam, eve = (Client(hub, user) for user in ("prof-ada", "sam", "eve"))
    boost = {"limit": "member.servers", "amount": "3", "until": SOON, "member": "sam", "why": "?"}
    found = ada("GET", PATH).json()
    assert found["boosts"] == []
    made = ada("POST", PATH, json={**boost, "version": found["version"]})
    assert made.status_code == 201
    (held,) = made.json()["boosts"]
    assert held.items() >= {**boost, "number": 1, "holds": True}.items()
    assert held["ends"] > SOON
    stale = ada("POST", PATH, json={**boost, "amount": "4", "version": found["version"]})
    assert (stale.status_code, stale.json()["reason"]) == (412, "changed-since")
    for body, detail in (
        ({**boost, "member": "eve"}, "member: eve is not in earth/geo-101, nor in a group below"),
        ({**boost, "amount": "4", "member": ".."}, "member: .. is not in earth/geo-101"),
        ({**boost, "amount": "4", "member": "a/b?c#d"}, "member: a/b?c#d is not in"),
        ({**boost, "member": "\u0000"}, "member: This has characters"),
        ({**boost, "amount": "2"}, "amount: That is 3 servers now already"),
        ({**boost, "limit": "group.servers", "amount": "9"}, "member: group.servers is what all"),
        ({**boost, "limit": "member.gpu"}, "limit: earth/geo-101 has no limit member.gpu"),
    ):
        answer = ada("POST", PATH, json=body)
        assert answer.status_code == 400, body
        assert answer.json()["detail"].startswith(detail)
    too_much = {**boost, "limit": "member.cpu-hours", "window": "7d", "amount": "201"}
    assert ada("POST", PATH, json=too_much).status_code == 403
    version = made.json()["version"]
    wrong = (
        (ada, f"1?version={version - 1}", 412),
        (ada, f"2?version={version}", 404),
        (ada, f"{'9' * 99}?version={version}", 404),
        (ada, "1", 400),
        (sam, f"1?version={version}", 404),
        (eve, f"1?version={version}", 404),
    )
    for client, address, status in wrong:
        assert client("DELETE", f"{PATH}/{address}").status_code == status, address
    assert ada("DELETE", f"{PATH}/1?version={version}").status_code == 204
    assert ada("GET", PATH).json()["boosts"] == []
    admin = Client(hub, "admin")
    assert admin("DELETE", "groups/none/boosts/1?version=7").status_code == 404
    assert admin("POST", "groups/none/boosts", json={**boost, "version": 7}).status_code == 400


def test_a_token_that_may_only_look(hub):
    id = Client(hub, "sam")("POST", "asks", json=ASK).json()["id"]
    look = "access:services!service=quotas"
    sam, ada = Client(hub, "sam", look), Client(hub, "prof-ada", look)
    assert sam("GET", "asks").status_code == 200
    for client, method, path, body in (
        (sam, "POST", "asks", ASK),
        (sam, "POST", f"asks/{id}/withdraw", {}),
        (ada, "POST", f"asks/{id}/approve", {}),
        (ada, "POST", f"asks/{id}/decline", {}),
        (ada, "POST", PATH, {"limit": "member.servers", "amount": "3", "until": SOON}),
    ):
        assert client(method, path, json=body).status_code in (403, 404), path
    acts = Client(hub, "prof-ada", look, ACT)
    assert acts("POST", f"asks/{id}/approve").status_code == 200


def test_services_ask_for_nothing(hub):
    answer = httpx.post(
        f"{hub.base}{API}/asks",
        json={**ASK, "group": "default"},
        headers={"Authorization": f"token {hub.settings['token']}"},
    )
    assert answer.status_code == 403


# -- in a browser ----------------------------------------------------------------------------------


def log_in(page: Page, hub: Hub, user: str) -> Page:
    page.goto(f"{hub.base}hub/login?next=/hub/token")
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/hub/token"))
    return page


def usage(page: Page, hub: Hub) -> str:
    return page.request.get(f"{hub.base}services/quotas/").text()


def test_asked_on_a_phone_given_and_lapsed(hub, new_page):
    sam = log_in(new_page(viewport={"width": 320, "height": 640}), hub, "sam")
    sam.goto(f"{hub.base}services/quotas/ask?group={GROUP}&limit=member.servers")
    expect(sam.locator("#standing")).to_contain_text("0 of 1 server")
    sam.get_by_label("How much you need in all").fill("1")
    expect(sam.locator("#standing")).to_contain_text("That is 1 server now already")
    sam.get_by_label("How much you need in all").fill("4")
    sam.get_by_label("Until the end of").fill(SOON)
    expect(sam.locator("#standing")).to_contain_text("You ask for 4 servers.")
    sam.get_by_label("What for").fill("three runs side by side")
    wide = sam.evaluate("document.documentElement.scrollWidth")
    assert wide <= 320, "nothing to scroll sideways for"
    sam.get_by_role("button", name="Ask", exact=True).click()
    expect(sam.get_by_role("status")).to_contain_text("Who can answer: prof-ada.")

    ada = log_in(new_page(viewport={"width": 320, "height": 640}), hub, "prof-ada")
    ada.goto(f"{hub.base}services/quotas/asks")
    card = ada.get_by_role("article", name="sam asks for 4 servers")
    expect(card).to_contain_text("three runs side by side")
    card.get_by_text("Give something else").click()
    assert ada.evaluate("document.documentElement.scrollWidth") <= 320
    ends = datetime.now(timezone.utc) + timedelta(seconds=20)
    card.get_by_label("In all").fill("2")
    card.get_by_label("Until the end of").fill(f"{ends:%Y-%m-%d}")
    card.get_by_label("or that day at (UTC)").fill(f"{ends:%H:%M:%S}")
    card.get_by_label("A word to them").fill("Two have to do.")
    card.get_by_role("button", name="Give this to sam").click()
    expect(ada.get_by_role("status")).to_contain_text("sam has 2 servers in earth/geo-101 until")

    mine = sam.locator("#asked")  # which is looked at again without a reload
    expect(mine).to_contain_text("prof-ada gave 2 servers until", timeout=15_000)
    expect(mine).to_contain_text("Two have to do.")
    assert "0 of 2 servers" in usage(sam, hub)
    ada.goto(f"{hub.base}services/quotas/boosts?group={GROUP}")
    expect(ada.get_by_role("article", name="2 servers")).to_contain_text("for sam until")
    expect(ada.get_by_role("button", name="End now")).to_be_visible()

    left = (ends - datetime.now(timezone.utc)).total_seconds()
    sam.wait_for_timeout(max(0, left + 1) * 1000)
    assert "0 of 1 server" in usage(sam, hub)
    sam.reload()
    expect(mine).to_contain_text("approved, over now")
    ada.reload()
    expect(ada.get_by_role("article", name="2 servers")).to_contain_text("lapsed")


def test_more_than_the_group_has_is_refused_in_place(hub, new_page):
    Client(hub, "sam")(
        *("POST", "asks"), json={**ASK, "limit": "member.cpu-hours", "amount": "300"}
    )
    ada = log_in(new_page(), hub, "prof-ada")
    ada.goto(f"{hub.base}services/quotas/asks")
    card = ada.get_by_role("article", name="sam asks for 300 CPU-hours")
    expect(card).to_contain_text("earth, the whole group")
    expect(card).to_contain_text("0 of 200 CPU-hours")
    card.get_by_role("button", name="Approve").click()
    expect(card.get_by_role("alert")).to_contain_text("earth has 200 CPU-hours itself")
    card.get_by_label("In all").fill("200")
    card.get_by_role("button", name="Give this to sam").click()
    expect(ada.get_by_role("status")).to_contain_text("sam has 200 CPU-hours in any 7 days")
    ada.get_by_role("link", name="All boosts of earth/geo-101").click()
    ada.on("dialog", lambda dialog: dialog.accept())
    ada.get_by_role("button", name="End now").click()
    expect(ada.locator("#boosts")).to_contain_text("Nobody has more than the limits say.")
    assert boosts(hub) == []
