"""My usage, as page and by the API, and what the hub's home page says of it."""

from __future__ import annotations

import asyncio
import html
import re
import sys
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from hubs import Hub, Visitor, wait_for
from jupyterhub.handlers.pages import HomeHandler, TokenPageHandler
from playwright.sync_api import expect
from threads import in_a_thread
from traitlets import HasTraits, List

from hub_groups.database import writing
from hub_groups.store import GroupStore
from hub_quotas import home_page
from hub_quotas.home_page import Summary, WithSummary, put_around_home
from hub_quotas.policy import parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import new_id
from hub_quotas.store import open_store

LIMITS = """
course:
  member.cpu-hours: 40 per 7d then stop
  member.memory: 1G
  member.servers: 2
  group.cost: 100 per month
  server.lifetime: 8h
  member.storage: 10G
"""
PAGE = "services/quotas/"
API = "services/quotas/api/me"
TINY = {"cpu": 1, "memory": 1}
EVIL = "<img src=x onerror=alert(1)>"
QUOTES = "\"onclick='x'><b>"
HUBS = ["6.1", pytest.param("5.5", marks=pytest.mark.slow)]


@pytest.fixture(params=HUBS)
def hub(request, start_hub) -> Hub:
    python = sys.executable if request.param == "6.1" else request.getfixturevalue("hub55")
    return start_hub("home", python=python)


@pytest.fixture
def new_hub(start_hub) -> Hub:
    return start_hub("home", python=sys.executable)


def a_student(hub: Hub, name: str, group: str = "course") -> Visitor:
    hub.limits(LIMITS)
    hub.api("groups/course", "POST")
    student = hub.login(name)
    assert hub.api("groups/course/users", "POST", json={"users": [name]}).is_success
    return student


def start(hub: Hub, user: str, name: str = "") -> str:
    """A server that is up; returns its session."""
    assert hub.api(f"users/{user}/servers/{name}" if name else f"users/{user}/server", "POST")
    wait_for("the server", lambda: hub.server(user, name))
    (session,) = (s.id for s in hub.ledger().open_sessions(user) if s.server == name)
    return session


def text(answer: httpx.Response) -> str:
    """What is read on a page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", " ", answer.text)))


def api(hub: Hub, path: str, token: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"token {token}"}
    return httpx.request(method, f"{hub.base}{API}{path}", headers=headers, timeout=60)


def test_what_is_left_and_until_when_and_a_stop(hub):
    sam = a_student(hub, "sam")
    assert "You have no server running." in text(sam.get(PAGE))
    assert "None of your servers ended in that time." in text(sam.get(PAGE))
    session = start(hub, "sam")
    said = text(sam.get(PAGE))
    for part in (
        "0.5 cores · 512 MiB · charged to course · since today at",
        "(server.lifetime · course)",
        "40 CPU-hours left",
        "0 of 40 CPU-hours used. The oldest use comes back on",
        "Memory, me 512 MiB left 512 MiB of 1 GiB 512 MiB of 1 GiB in use.",
        "1 server left",
        "managed by prof-ada",
        "storage: 10 GiB for me; what I use of it is not measured yet",
        "each server runs for 8 h at most",
        "0.5 cores · 512 MiB would start, and last 39 h",
    ):
        assert part in said, part
    ask = "/services/quotas/ask?group=course"
    assert f'href="{ask}"' in sam.get(PAGE).text

    answer = sam.send_form(PAGE, action="stop", server="")
    assert answer.status_code == 200
    assert answer.url.params["stopping"] == session
    wait_for("the end", lambda: not hub.ledger().open_sessions("sam"))
    said = text(sam.get(f"{PAGE}?stopping={session}"))
    assert "Default server has stopped." in said
    assert "You have no server running." in said
    assert "It was stopped" in said
    assert "has stopped" not in text(a_student(hub, "kim").get(f"{PAGE}?stopping={session}"))


def test_the_same_for_programs(new_hub):
    lee = a_student(new_hub, "lee")
    session = start(new_hub, "lee", "two")
    token = lee.token()
    me = api(new_hub, "", token).json()
    (group,) = me["groups"]
    limits = {limit["limit"]: limit for limit in group["limits"]}
    budget = limits["member.cpu-hours"]
    assert (budget["amount"], budget["window"]) == ("40 per 7d then stop", "in any 7 days")
    assert budget["comes_back_at"] > me["at"] >= me["servers"][0]["since"]
    assert budget["comes_back_at"] > budget["runs_out_at"] > me["at"]
    assert budget["runs_out_exactly"] is True
    assert (limits["member.memory"]["used"], limits["member.memory"]["left"]) == ("512M", "512M")
    assert group["room"] == {"memory": "512M", "servers": "1"}
    (could,) = group["could_start"]
    assert could["size"] == {"cpu": "0.5", "memory": "512M"}
    assert 79 * 3600 > could["lasts_seconds"] > 39 * 3600
    (server,) = api(new_hub, "/servers", token).json()["servers"]
    assert server == me["servers"][0]
    assert (server["id"], server["server"], server["up"]) == (session, "two", True)
    assert [(end["limit"], end["stops"]) for end in server["ends"]] == [("server.lifetime", True)]

    narrow = lee.token("access:services!service=quotas")
    refused = api(new_hub, "/servers/two", narrow, "DELETE")
    assert (refused.status_code, refused.json()["reason"]) == (403, "not-yours")
    assert api(new_hub, "/servers", narrow).status_code == 200
    assert api(new_hub, "/server", token, "DELETE").status_code == 404, "that is another one"
    assert new_hub.server("lee", "two")
    stopped = api(new_hub, "/servers/two", token, "DELETE")
    assert (stopped.status_code, stopped.json()["id"]) == (202, session)
    wait_for("the end", lambda: not new_hub.server("lee", "two"))
    wait_for("the ledger", lambda: not new_hub.ledger().open_sessions("lee"))

    for _ in range(2):
        start(new_hub, "lee")
        assert api(new_hub, "/server", token, "DELETE").status_code == 202
        wait_for("the ledger", lambda: not new_hub.ledger().open_sessions("lee"))
    first = api(new_hub, "/history?limit=2", token).json()
    assert (first["total"], first["next_offset"], len(first["items"])) == (3, 2, 2)
    last = api(new_hub, "/history?offset=2", token).json()
    assert (last["next_offset"], [one["id"] for one in last["items"]]) == (None, [session])
    assert float(last["items"][0]["cpu_hours"]) > 0
    for wrong in ("limit=0", "limit=201", "offset=-1", "other=1"):
        assert api(new_hub, f"/history?{wrong}", token).status_code == 400


def test_nobody_stops_what_is_not_theirs(new_hub):
    ann, eve = a_student(new_hub, "ann"), a_student(new_hub, "eve")
    start(new_hub, "ann")
    refused = eve.send_form(PAGE, action="stop", server="")
    assert refused.status_code == 404
    assert "Default server: no such server of yours is running on this hub." in text(refused)
    ann.get(PAGE)
    assert ann.post(PAGE, data={"action": "stop", "server": ""}).status_code == 403
    assert ann.send_form(PAGE, action="delete", server="").status_code == 400
    assert new_hub.server("ann")
    store = new_hub.ledger()
    store.reserve("of-dask", "ann", "nightly", ["course"], TINY, hub="service:hub:dask")
    page = ann.get(PAGE)
    assert "held by the service dask" in text(page)
    assert page.text.count('value="stop"') == 1
    assert ann.send_form(PAGE, action="stop", server="nightly").status_code == 404
    store.close_session("of-dask", "released")


def test_what_the_hub_can_not_stop_is_explained(new_hub):
    ann = a_student(new_hub, "ghosts")
    new_hub.ledger().reserve("ghost", "ghosts", "ghost", ["course"], TINY)
    answer = ann.send_form(PAGE, action="stop", server="ghost")
    assert answer.status_code == 409
    assert "ghost can't be stopped now: ghosts has no server named 'ghost'" in text(answer)
    assert "Running now" in text(answer), "and the page is there"


def test_names_are_shown_as_text(new_hub):
    new_hub.limits("course: {member.servers: 3}")
    store = new_hub.ledger()
    quoted = "groups/%3Cimg%20src=x%20onerror=alert(1)%3E"
    new_hub.api(quoted, "POST")
    visitor = new_hub.login("hostile")
    assert new_hub.api(f"{quoted}/users", "POST", json={"users": ["hostile"]}).is_success
    new_hub.limits(f"'{EVIL}': {{member.servers: 3, member.cpu-hours: 4 per day}}")
    for id, end in (("evil-1", True), ("evil-2", False)):
        store.reserve(id, "hostile", EVIL, [EVIL], {"cpu": 1}, profile=EVIL, hub=f"other {EVIL}")
        if end:
            store.close_session(id, f"because {EVIL}")
    store.reserve("evil-3", "hostile", QUOTES, [EVIL], {"cpu": 1})
    question = re.search('data-ask="([^"]*)"', visitor.get(PAGE).text)
    asked = f"Stop {QUOTES}? What is not saved in it is lost."
    assert question and html.unescape(question[1]) == asked
    for path in (PAGE, f"{PAGE}?stopping={EVIL}&page={EVIL}", "hub/home"):
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert EVIL not in answer.text
        assert html.escape(EVIL) in answer.text
    answer = visitor.send_form(PAGE, action="stop", server=EVIL)
    assert (answer.status_code, EVIL in answer.text) == (404, False)


def test_a_server_without_a_size_has_no_memory_or_cpu_limit(new_hub):
    visitor = new_hub.login("sizeless")
    assert new_hub.ledger().reserve("sizeless", "sizeless", "", ["default"], {}).granted
    said = text(visitor.get(PAGE))
    assert "no memory or CPU limit" in said
    assert "no limits" not in said


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (
            "group.cpu-hours: 400 per 30d",
            "At this size, the budget of course is used up on {day}; the server goes on running "
            "then. (group.cpu-hours)",
        ),
        (
            "group.cpu-hours: 400 per 30d then downsize to cpu 1",
            "At this size, the budget of course is used up on {day}; the server goes on running "
            "then, and only smaller ones start. (group.cpu-hours)",
        ),
        (
            "group.cpu-hours: 400 per 30d then stop",
            "At this size, it stops on {day}: the budget of course is used up by then. "
            "(group.cpu-hours)",
        ),
        (
            "member.cpu-hours: 400 per 30d",
            "At this size, your budget (course) is used up on {day}; the server goes on running "
            "then. (member.cpu-hours)",
        ),
        (
            "member.cpu-hours: 400 per 30d then downsize to cpu 1",
            "At this size, your budget (course) is used up on {day}; the server goes on running "
            "then, and only smaller ones start. (member.cpu-hours)",
        ),
        (
            "member.cpu-hours: 400 per 30d then stop",
            "At this size, it stops on {day}: your budget (course) is used up by then. "
            "(member.cpu-hours)",
        ),
        ("server.lifetime: 400h", "Stops on {day} (server.lifetime · course)"),
    ],
)
def test_what_ends_a_server_is_said_as_what_will_be(new_hub, limit, said):
    visitor = a_student(new_hub, "ender")
    store = new_hub.ledger()
    new_hub.limits(f"course: {{{limit}}}")
    id = new_id(now())
    assert store.reserve(id, "ender", "", ["course"], {"cpu": 1000}).granted
    store.start(id)
    try:
        page = re.sub(r" (?=[;:.])", "", text(visitor.get(PAGE)))  # it stands where a tag ended
    finally:
        store.void(id, "tests")
    day = r"\d+ [A-Z][a-z]+( \d{4})? at \d\d:\d\d"
    found = re.search(re.escape(said).replace(re.escape("{day}"), day), page)
    assert found, page[page.index("Running now") :][:700]


def test_a_boost_is_said_until_when(new_hub):
    visitor = a_student(new_hub, "raised")
    document = {"limits": {"member.servers": 2}}
    document["boosts"] = [{"limit": "member.servers", "amount": 5, "until": "2098-12-10"}]
    store = new_hub.ledger()
    store.apply(parse_policy({"groups": {"course": document}}), "tests", "tests")
    said = text(visitor.get(PAGE))
    assert "Raised until 11 December 2098, 00:00" in said, said


def test_who_is_in_no_group_is_told_where_it_counts_and_never_of_default(new_hub):
    new_hub.limits("default: {member.servers: 3}")
    visitor, store = new_hub.login("lonely"), new_hub.ledger()
    store.reserve("lone-1", "lonely", "old", ["default"], TINY)
    store.close_session("lone-1", "server.lifetime of default")
    store.reserve("lone-2", "lonely", "new", ["default"], TINY)
    try:
        said, home = text(visitor.get(PAGE)), text(visitor.get("hub/home"))
        helped = text(visitor.get(f"{PAGE}help"))
    finally:
        store.void("lone-2", "tests")
    assert "charged to everybody without a group" in said
    assert "A limit stopped it: server.lifetime of everybody without a group" in said
    assert (
        "Everybody without a group Ask for more You are in no group: what you use counts here, as "
        "for everybody without a group." in said
    )
    assert "What I have left My usage Everybody without a group Servers, me: 2" in home
    assert "Groups: everybody without a group" in helped
    for page in (said, helped):
        assert not re.search(r"\bdefault\b", page), page
    new_hub.limits("course: {member.servers: 3}")
    said = text(visitor.get(PAGE))
    assert "No limits hold here." in said
    assert "in no group" not in text(a_student(new_hub, "social").get(PAGE))


def test_many_servers_are_paged(new_hub):
    visitor = a_student(new_hub, "busy")
    store = new_hub.ledger()
    for number in range(27):
        store.reserve(f"busy-{number}", "busy", f"n{number}", ["course"], TINY)
        store.close_session(f"busy-{number}", "stopped")
    first, second = text(visitor.get(PAGE)), text(visitor.get(f"{PAGE}?page=2"))
    assert "Page 1 of 2" in first and " n26 " in first and " n1 " not in first
    assert "Page 2 of 2" in second and " n1 " in second and " n26 " not in second
    assert "There is no such page." in text(visitor.get(f"{PAGE}?page=9"))
    for odd in ("0", "-1", "x", "9" * 5000, "²"):
        assert "Page 1 of 2" in text(visitor.get(f"{PAGE}?page={odd}"))


# -- the hub's home page ---------------------------------------------------------------------------


def test_the_home_page_says_what_is_left(hub):
    hub.limits(LIMITS)
    pat = a_student(hub, "pat")
    start(hub, "pat")
    home = pat.get("hub/home")
    said = text(home)
    assert "Closed on Friday" in said
    assert "Of this hub's admin, for pat" in said
    assert "My Server" in said
    assert "What I have left My usage course Memory, me: 512 MiB left" in said
    assert "Servers, me: 1 server left" in said
    assert "CPU-hours" not in said, "only the tightest"
    assert 'href="/services/quotas/">My usage</a>' in home.text
    hub.limits("course: {server.memory: 8G}")
    assert "What I have left" not in pat.get("hub/home").text
    assert "What I have left" not in httpx.get(f"{hub.base}hub/login").text


@pytest.mark.slow
def test_without_the_ledger_the_home_page_is_there_and_my_usage_says_so(fresh_hub):
    hub = fresh_hub("home")
    visitor = a_student(hub, "sam")
    assert "What I have left" in visitor.get("hub/home").text
    with hub.ledger().db.write() as tx:
        tx.run("ALTER TABLE subject RENAME TO away")
    began = time.monotonic()
    home = visitor.get("hub/home")
    assert home.status_code == 200
    assert "What I have left" not in home.text
    assert "Of this hub's admin" in text(home)
    assert time.monotonic() - began < 2
    page = visitor.get(PAGE)
    assert page.status_code == 503
    assert "The quota ledger can't be reached now." in text(page)
    assert api(hub, "", visitor.token()).status_code == 503


SAM = SimpleNamespace(name="sam", admin=False, groups=[])


@in_a_thread
async def test_without_the_store_of_groups_it_still_says_what_is_left(tmp_path):
    ledger = open_store(f"sqlite:///{tmp_path / 'quotas.sqlite'}")
    ledger.apply(parse_policy({"groups": {"course": {"limits": {"member.servers": 2}}}}), "t", "t")
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    sam = SimpleNamespace(name="sam", admin=True, groups=[SimpleNamespace(name="course")])
    shown = [await Summary(lambda: ledger, lambda: groups, "/s/").show(sam)]
    with writing(groups.engine) as db:
        db.exec_driver_sql("ALTER TABLE membership RENAME TO away")
    shown.append(await Summary(lambda: ledger, lambda: groups, "/s/").show(sam))
    groups.close()
    for said in shown:
        assert "Servers, me: 2 servers left" in said
        assert '<a href="/s/quotas/">My usage</a>' in said


@in_a_thread
async def test_a_ledger_that_hangs_delays_the_page_by_little_and_piles_up_nothing(monkeypatch):
    monkeypatch.setattr(home_page, "PATIENCE", 0.1)
    asked, answer = [], threading.Event()

    def open_store():
        asked.append(1)
        answer.wait(10)
        raise RuntimeError("away")

    summary = Summary(open_store, lambda: None, "/")
    began = time.monotonic()
    assert await asyncio.gather(*(summary.show(SAM) for _ in range(20))) == [""] * 20
    assert time.monotonic() - began < 1
    answer.set()
    await asyncio.sleep(0.2)
    assert len(asked) <= 2, "who has given up is not asked for later"
    assert await summary.show(SimpleNamespace(name="no groups")) == ""


class App(HasTraits):
    hub_prefix = "/pre/hub/"
    handlers = List()


class Theirs(HomeHandler):
    pass


@pytest.mark.parametrize(
    ("first", "taken"), [(HomeHandler, True), (Theirs, True), (TokenPageHandler, False)]
)
def test_another_handler_of_the_home_page_is_respected(first, taken):
    app, summary = App(), Summary(lambda: None, lambda: None, "/")
    put_around_home(app, summary)
    app.handlers = [
        ("/pre/hub/token", TokenPageHandler),
        ("/pre/hub/home", first, {"an": "argument"}),
        ("/pre/hub/home", HomeHandler),
    ]
    app.handlers.append(("(.*)", TokenPageHandler))
    (_, before), (path, ours, arguments), (_, later), _rest = app.handlers
    assert (path, arguments) == ("/pre/hub/home", {"an": "argument"})
    assert issubclass(ours, first)
    assert issubclass(ours, WithSummary) == taken
    assert (before, later) == (TokenPageHandler, HomeHandler), "the first one is what answers"


# -- in a browser ----------------------------------------------------------------------------------

SCREENS = {
    "desktop": {"viewport": {"width": 1000, "height": 700}},
    "phone": {"viewport": {"width": 320, "height": 640}},
    "dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_server_is_stopped_in_the_browser(new_hub, new_page, screen):
    user = f"on-{screen}"
    a_student(new_hub, user)
    start(new_hub, user)
    page = new_page(**SCREENS[screen])
    page.goto(f"{new_hub.base}hub/login")
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{new_hub.base}hub/home")
    home = page.get_by_role("region", name="What I have left")
    expect(home).to_contain_text("Servers, me: 1 server left")
    home.get_by_role("link", name="My usage").click()
    running = page.get_by_role("region", name="Running now")
    expect(running).to_contain_text("charged to course")
    expect(page.get_by_role("region", name="course")).to_contain_text("40 CPU-hours left")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]

    questions = []

    def answer(dialog) -> None:
        questions.append(dialog.message)
        if len(questions) == 1:
            dialog.dismiss()
        else:
            dialog.accept()

    page.on("dialog", answer)
    stop = running.get_by_role("button", name="Stop Default server")
    stop.click()
    assert new_hub.server(user), "asked, and answered no"
    # What is live is put in place anew, and still asks.
    stop.evaluate("button => button.blur() || (button.dataset.old = 'yes')")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(running.locator("[data-old]")).to_have_count(0)
    stop.click()
    assert questions == ["Stop Default server? What is not saved in it is lost."] * 2
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("status")).to_contain_text("Default server has stopped.")
    expect(running).to_contain_text("You have no server running.")
    wait_for("the end", lambda: not new_hub.server(user))
