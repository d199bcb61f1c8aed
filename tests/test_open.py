"""A click on a launch link, on real hubs: what is asked, what is started, what is refused."""

from __future__ import annotations

import html
import importlib.util
import re
import time

import httpx
import pytest
from hubs import ROOT, TOKEN, Hub, Visitor, wait_for

from share_links.forms import write
from share_links.launch import Content, Environment, Launch, Target
from share_links.links import Terms, shown_id
from share_links.store import LinkStore
from share_links.tokens import make_key, read_private, sign

BOOK = Content("https://git.invalid/geo-book", "main")
SMALL, LARGE = Environment("small"), Environment("large")


def book(environment=LARGE, **more) -> Launch:
    return Launch(more.pop("content", BOOK), environment, **more)


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches")


@pytest.fixture
def links(hub):
    store = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    yield store
    store.close()


_names = iter(range(1000))


@pytest.fixture
def reader(hub) -> Visitor:
    """Somebody new, in no group."""
    return hub.login(f"reader{next(_names)}")


@pytest.fixture
def member(hub) -> Visitor:
    """Somebody of geo-101 whose servers are stopped."""
    for name in hub.api("users/sam").json().get("servers", {}) if hub.server("sam") else ():
        hub.api(f"users/sam/servers/{name}" if name else "users/sam/server", "DELETE")
    return hub.login("sam")


def text_of(page: httpx.Response) -> str:
    main = page.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", main)).split()).partition("> ")[2]


def path(hub: Hub, launch: Launch) -> str:
    return write("resolved", launch, hub.base).url.removeprefix(hub.base)


def follow(visitor: Visitor, page: httpx.Response, seconds: int = 60) -> httpx.Response:
    """A launch to its end, which may have come before anybody looked."""
    ways = [one for one in (*page.history, page) if "/progress/" in str(one.url)]
    assert ways, text_of(page)
    page = ways[-1]
    end = time.monotonic() + seconds
    while "journey" in page.text and "data-state" in page.text:
        assert time.monotonic() < end, text_of(page)
        time.sleep(0.2)
        page = visitor.get(page.url, follow_redirects=False)
    return page


def options(hub: Hub, user: str, server: str = "") -> dict | None:
    found = hub.server(user, server)
    return found and {k: v for k, v in found["user_options"].items() if k != "charged_group"}


def stop_all(hub: Hub, user: str) -> None:
    for name in list(hub.api(f"users/{user}").json()["servers"]):
        hub.api(f"users/{user}/servers/{name}" if name else f"users/{user}/server", "DELETE")
    wait_for("servers to stop", lambda: not hub.api(f"users/{user}").json()["servers"])


# -- who is asked ----------------------------------------------------------------------------------


def test_who_made_it_is_asked_about_once(hub, reader):
    page = reader.get(path(hub, book()))
    assert page.status_code == 200
    said = text_of(page)
    assert "From https://git.invalid/geo-book @ main" in said
    assert "By nobody whom this hub knows" in said
    assert "On large · 2 cores, 1 GiB" in said
    assert hub.server(reader.user) is None
    page = reader.send_form(path(hub, book()), remember="1")
    follow(reader, page)
    assert options(hub, reader.user) == {"profile": "large"}
    # Another page of the same book, without a question; another branch is asked about.
    page = reader.get(path(hub, book(target=Target(file="b.ipynb"))))
    assert "/progress/" in str(page.url)
    other = Content(BOOK.repository, "other")
    assert "Go on only if you trust" in text_of(reader.get(path(hub, book(content=other))))


def test_a_click_before_the_login_goes_on_after_it(hub):
    visitor = Visitor(hub, "late")
    page = visitor.get(path(hub, book(target=Target(file="a&b #1.ipynb"))))
    assert page.url.path == "/hub/login"
    where = page.url.params["next"]
    page = visitor.post(
        str(page.url),
        data={"username": "late", "password": "", "_xsrf": visitor.xsrf("/hub/")},
    )
    assert "Open a&b #1.ipynb" in text_of(page), where


def test_a_manager_of_the_readers_group_is_trusted(hub, links, member):
    stop_all(hub, "sam")
    link = links.make(book(), "prof-ada")
    page = member.get(f"services/launch/go/{shown_id(link.id)}")
    follow(member, page)
    assert options(hub, "sam") == {"profile": "large"}
    stranger = hub.login("stranger")
    said = text_of(stranger.get(f"services/launch/go/{link.id}"))
    assert "By prof-ada" in said
    assert "trusted by this hub" not in said
    assert "Go on only if you trust" in said


def test_an_admin_is_trusted_by_everybody(hub, links, reader):
    link = links.make(book(SMALL), "admin")
    follow(reader, reader.get(f"services/launch/go/{link.id}"))
    assert options(hub, reader.user) == {"profile": "small"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
    ],
)
def test_what_is_no_visit_starts_nothing(hub, links, reader, headers):
    link = links.make(book(SMALL), "admin")
    reader.get("services/launch/")  # the login
    page = reader.get(f"services/launch/go/{link.id}", headers=headers)
    assert page.status_code == 200
    assert "Open" in text_of(page)
    assert not hub.api(f"users/{reader.user}").json()["servers"]


def test_a_form_of_another_site_starts_nothing(hub, reader):
    where = path(hub, book(SMALL))
    reader.get(where)
    page = reader.post(where, headers={"Sec-Fetch-Site": "cross-site"})
    assert page.status_code == 403
    assert not hub.api(f"users/{reader.user}").json()["servers"]


# -- what runs already -----------------------------------------------------------------------------


@pytest.fixture
def busy(hub, reader) -> Visitor:
    """Somebody whose server is small."""
    follow(reader, reader.send_form(path(hub, book(SMALL))))
    assert options(hub, reader.user) == {"profile": "small"}
    return reader


def test_what_runs_and_fits_is_used(hub, busy):
    started = hub.server(busy.user)["started"]
    page = busy.get(path(hub, book(SMALL)))
    assert "running something else" not in text_of(page)
    follow(busy, busy.send_form(path(hub, book(SMALL))))
    # Who asks for no environment takes what runs.
    page = busy.get(path(hub, book(Environment())))
    assert "running something else" not in text_of(page)
    assert hub.server(busy.user)["started"] == started


def test_a_second_server(hub, busy):
    page = busy.get(path(hub, book()))
    assert "Your server is running something else." in text_of(page)
    assert "Open it in a second server, “geo-book”" in text_of(page)
    follow(busy, busy.send_form(path(hub, book()), way="named"))
    assert options(hub, busy.user) == {"profile": "small"}
    assert options(hub, busy.user, "geo-book") == {"profile": "large"}
    # The next click finds it.
    assert "running something else" not in text_of(busy.get(path(hub, book())))


def test_starting_it_anew(hub, busy):
    follow(busy, busy.send_form(path(hub, book()), way="restart"))
    assert options(hub, busy.user) == {"profile": "large"}


def test_going_on_in_what_runs(hub, busy):
    started = hub.server(busy.user)["started"]
    follow(busy, busy.send_form(path(hub, book()), way="go-on"))
    assert options(hub, busy.user) == {"profile": "small"}
    assert hub.server(busy.user)["started"] == started


def test_a_way_that_there_is_not(hub, busy):
    page = busy.send_form(path(hub, book()), way="start")
    assert "running something else" in text_of(page)
    assert options(hub, busy.user) == {"profile": "small"}


# -- quotas ----------------------------------------------------------------------------------------


def test_what_is_refused_and_what_would_fit(hub, member):
    stop_all(hub, "sam")
    hub.limits("geo-101: {server.memory: 512M, member.cpu-hours: 10 per 7d}")
    try:
        page = member.get(path(hub, book(target=Target(file="a.ipynb"))))
        said = text_of(page)
        assert (
            "geo-101 allows each server at most 512 MiB of memory; this one asks for 1 GiB" in said
        )
        assert "Open with Small" in said
        assert "what is left lasts" in said
        assert "Open with Large" not in said
        assert not hub.api("users/sam").json()["servers"]
        # Asking for it all the same is refused too.
        page = member.send_form(path(hub, book()), way="start")
        assert "geo-101 allows each server at most" in text_of(page)
        follow(member, member.send_form(path(hub, book()), choice="Small"))
        assert options(hub, "sam") == {"profile": "small"}
        assert "does not offer 'Huge'" in text_of(
            member.send_form(path(hub, book()), choice="Huge")
        )
    finally:
        hub.limits("{}")
        stop_all(hub, "sam")


def test_an_admin_is_not_told_to_ask_one(hub, member):
    stop_all(hub, "sam")
    hub.limits("{geo-101: {server.memory: 512M}, default: {server.memory: 512M}}")
    try:
        mine = text_of(hub.login("admin").get(path(hub, book())))
        theirs = text_of(member.get(path(hub, book())))
    finally:
        hub.limits("{}")
    assert "allows each server at most 512 MiB" in mine and "allows each server" in theirs
    assert "You can change this under Groups and limits." in mine
    assert "To get more, ask" not in mine
    assert "To get more, ask" in theirs
    assert "Groups and limits" not in theirs


def test_a_restart_counts_what_it_frees(hub, member):
    stop_all(hub, "sam")
    follow(member, member.send_form(path(hub, book(SMALL))))
    hub.limits("geo-101: {member.servers: 1}")
    try:
        page = member.get(path(hub, book()))
        said = text_of(page)
        assert "geo-101 allows each member 1 server" in said, said
        assert re.search(r'value="named" disabled', page.text)
        assert re.search(r'value="restart" checked>', page.text)
        follow(member, member.send_form(path(hub, book()), way="restart"))
        assert options(hub, "sam") == {"profile": "large"}
    finally:
        hub.limits("{}")
        stop_all(hub, "sam")


def test_a_group_that_the_reader_is_not_in(hub, reader):
    page = reader.get(path(hub, book(group="geo-101")))
    assert page.status_code == 403
    assert "You are not a member of the group 'geo-101', which this link charges." in text_of(page)


def test_a_group_that_is_charged(hub, member):
    stop_all(hub, "sam")
    follow(member, member.send_form(path(hub, book(SMALL, group="geo-101"))))
    assert [one.group for one in hub.ledger().open_sessions("sam")] == ["geo-101"]
    stop_all(hub, "sam")


def test_what_the_hub_does_not_have(hub, reader):
    page = reader.get(path(hub, book(Environment("huge"))))
    assert page.status_code == 403
    assert "This hub can't start what the link asks for" in text_of(page)
    assert not hub.api(f"users/{reader.user}").json()["servers"]


# -- joining ---------------------------------------------------------------------------------------


def test_a_link_of_a_manager_lets_join(hub, links, reader):
    link = links.make(book(SMALL, group="geo-101", join=True), "prof-ada")
    where = f"services/launch/go/{link.id}"
    page = reader.get(where)
    assert "You become a member of geo-101." in text_of(page)
    assert "geo-101" not in hub.groups(reader.user)
    follow(reader, reader.send_form(where))
    assert "geo-101" in hub.groups(reader.user)
    assert options(hub, reader.user) == {"profile": "small"}
    assert "You become a member" not in text_of(
        reader.get(where, headers={"Sec-Purpose": "prefetch"})
    )


@pytest.mark.parametrize("by", ["sam", ""])
def test_a_link_of_nobody_who_manages_it_does_not(hub, links, reader, by):
    launch = book(SMALL, group="geo-101", join=True)
    where = f"services/launch/go/{links.make(launch, by).id}" if by else path(hub, launch)
    page = reader.get(where)
    assert page.status_code == 403
    assert "nobody who manages that group has made it" in text_of(page)
    reader.send_form(where)
    assert "geo-101" not in hub.groups(reader.user)


# -- links that can't be used ----------------------------------------------------------------------


def test_terms_hold_at_the_click(hub, links, reader):
    ended = links.make(book(), "admin", Terms(until=1))
    gone = links.make(book(), "admin")
    links.revoke(gone.id, "admin")
    other = links.make(book(), "admin", Terms(users=("sam",), group="geo-101"))
    for link, words in (
        (ended, "This link has expired. Ask admin for a new one."),
        (gone, "This link was taken back. Ask admin for a new one."),
        (other, "This link is for somebody else, or for members of a group."),
    ):
        page = reader.get(f"services/launch/go/{link.id}")
        assert page.status_code == 403
        assert words in text_of(page)
        assert "Open</button>" not in page.text
        assert BOOK.repository not in page.text
    assert "There is no such link here." in text_of(reader.get("services/launch/go/abcde-fghjk"))
    assert not hub.api(f"users/{reader.user}").json()["servers"]


def test_who_has_left_the_group_can_not_use_its_links(hub, links):
    link = links.make(book(SMALL), "admin", Terms(group="geo-102"))
    hub.api("groups/geo-102", "POST")
    hub.api("groups/geo-102/users", "POST", json={"users": ["leaver"]}) if hub.login(
        "leaver"
    ) else None
    leaver = hub.login("leaver")
    assert "/progress/" in str(leaver.get(f"services/launch/go/{link.id}").url)
    hub.api("groups/geo-102/users", "DELETE", json={"users": ["leaver"]})
    page = leaver.get(f"services/launch/go/{link.id}")
    assert "for somebody else, or for members of a group" in text_of(page)


def test_signed_links(hub, links, reader):
    private, public = make_key()
    key = read_private(private)
    token = sign(book(SMALL), key)
    where = f"services/launch/open?signed={token}"
    assert "nobody whom this hub knows has signed it" in text_of(reader.get(where))
    links.add_key(public, "admin")
    follow(reader, reader.get(where))
    assert options(hub, reader.user) == {"profile": "small"}
    elsewhere = sign(book(), key, Terms(hubs=("https://other.example.org/",)))
    page = reader.get(f"services/launch/open?signed={elsewhere}")
    assert "This link is for another hub." in text_of(page)
    gone = links.keys_of("admin")[0].id
    hub.login("admin").send_form("services/launch/keys", remove=gone)
    assert "nobody whom this hub knows" in text_of(reader.get(where))
    # The proxy of these tests logs addresses that fail, which Zero to JupyterHub's does not.
    log = [line for line in hub.log.splitlines() if "tornado.access" not in line]
    assert len(log) > 20
    assert token[-40:] not in "\n".join(log)


# -- when it goes wrong ----------------------------------------------------------------------------


def test_a_server_without_nbgitpuller(hub, reader):
    page = follow(reader, reader.send_form(path(hub, book(SMALL))))
    said = text_of(page)
    assert "That did not work" in said
    assert "can't pull content: it has no nbgitpuller" in said
    assert "Open the server all the same" in said
    with LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}").engine.connect() as db:
        pulls = db.exec_driver_sql("SELECT pulls FROM known_image WHERE image = ''").scalar()
    assert pulls == 0, "the next who checks such a link hears of it"


def test_without_content_it_just_opens(hub, reader):
    page = follow(reader, reader.send_form(path(hub, Launch(None, SMALL))))
    assert page.status_code == 303
    assert page.headers["Location"] == f"/user/{reader.user}/lab"


def test_nobody_sees_the_launch_of_another(hub, reader):
    page = reader.send_form(path(hub, Launch(None, SMALL)))
    other = hub.login("curious")
    seen = other.get(page.url)
    assert seen.status_code == 404
    assert "This launch is over" in text_of(seen)
    assert other.get(f"{page.url}/state").status_code == 404


def test_a_service_can_launch_nothing(hub):
    page = httpx.get(
        f"{hub.base}{path(hub, book())}",
        headers={"Authorization": f"token {TOKEN}"},
        trust_env=False,
    )
    assert page.status_code == 403


def test_what_the_benchmark_takes_for_the_hubs_answer_is_what_it_says(hub, reader):
    launch = load_benchmark("launch")
    token = reader.token("read:servers!user")
    found = httpx.post(
        f"{hub.base}hub/api/group-quotas/launch/{reader.user}",
        headers={"Authorization": f"token {token}"},
        json={"form": {"profile": "small"}, "by": "admin"},
        trust_env=False,
    ).json()
    assert set(found) == set(launch.STATE)
    assert set(found["wanted"]) == set(launch.STATE["wanted"])
    other = f"{hub.base}hub/api/group-quotas/launch/sam"
    answer = httpx.post(
        other, headers={"Authorization": f"token {token}"}, json={}, trust_env=False
    )
    assert answer.status_code in (403, 404)


def load_benchmark(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
