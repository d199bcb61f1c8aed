"""What takes up the room in homes: how it is found, asked for and shown."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from agents import StorageAgent
from hubs import TOKEN, Hub, Visitor, wait_for
from playwright.sync_api import expect
from test_storage_measuring import du, home_with

from hub_quotas import pruning, storage_looks
from hub_quotas.corrections import known_as
from hub_quotas.storage_agent.backend import StorageError
from hub_quotas.storage_agent.largest import Found, Largest, largest
from hub_quotas.storage_agent.memory import Ask
from hub_quotas.storage_agent.service import MountState, Service, ServiceError, Use
from hub_quotas.usage_page import lab_folder

API = "services/quotas/api/"
STATE = MountState("test", 1, 1)

# -- how it is found --------------------------------------------------------------------------


def names(found: Largest) -> list[str]:
    return [one.path for one in found.found]


def test_the_largest_directories_and_files(tmp_path):
    home_with(tmp_path, "data/raw", files=3, size=300_000)
    home_with(tmp_path, "data/clean", files=1, size=50_000)
    home_with(tmp_path, ".cache/shell/inner", files=2, size=20_000)
    (tmp_path / "film").write_bytes(b"x" * 400_000)
    found = largest(tmp_path, most=4)
    assert names(found)[:3] == ["data", "data/raw", "film"]
    assert re.fullmatch("data/raw/file-[012]", names(found)[3])
    assert found.complete and found.used == du(tmp_path)
    assert found.found[0] == Found("data", du(tmp_path / "data"))
    assert found.found[2] == Found("film", du(tmp_path / "film"), True)
    everything = names(largest(tmp_path))
    assert "data/clean/file-0" in everything and "data/clean" not in everything
    assert ".cache/shell/inner" in everything
    assert ".cache" not in everything and ".cache/shell" not in everything


def test_when_time_is_up_it_says_what_it_has_seen(tmp_path):
    for part in range(40):
        home_with(tmp_path, f"part-{part}", files=100, size=10)
    said = []
    began = time.monotonic()
    found = largest(tmp_path, seconds=2, budget=1000, say=lambda seen: not said.append(seen))
    assert time.monotonic() - began < 4
    assert not found.complete and 0 < found.used < du(tmp_path) and found.found
    assert said and 500 < said[0] < 2000


def test_it_can_be_told_to_go_no_further(tmp_path):
    for part in range(40):
        home_with(tmp_path, f"part-{part}", files=100, size=10)
    began = time.monotonic()
    assert not largest(tmp_path, budget=1000, say=lambda _seen: False).complete
    assert time.monotonic() - began < 3


def test_of_directories_deep_in_one_another_the_upper_ones_are_named(tmp_path):
    home_with(tmp_path, "/".join("abcdefghijklmnopqrstuvwxyz"), size=100_000)
    found = largest(tmp_path)
    assert found.complete
    assert found.found[0].path == "a/b/c/d/e/f/g/h/i/j/k/l"
    assert {one.is_file for one in found.found[1:]} == {True}


def test_names_of_others_are_not_shown_through_links(tmp_path):
    home_with(tmp_path, "secret/plans", size=1_000_000)
    home_with(tmp_path, "alice", files=1, size=10)
    (tmp_path / "alice" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "alice" / "film").symlink_to(tmp_path / "secret" / "plans" / "file-0")
    found = largest(tmp_path / "alice")
    assert found.used == du(tmp_path / "alice")
    assert max(one.size for one in found.found) <= 4096
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match="can't be read"):
        largest(tmp_path / "link")
    with pytest.raises(StorageError, match="can't be read: No such file"):
        largest(tmp_path / "nobody")


def test_what_is_not_unicode_can_be_said(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/bad-\xff")
    [one] = largest(tmp_path).found
    assert one.path.encode() and one.path.startswith("bad-")


# -- how it is asked for ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("storage")


def service(hub: Hub, who: str = "homes") -> Service:
    return Service(f"{hub.base}{API}", TOKEN + who)


def me(hub: Hub, token: str, method: str = "GET", path: str = "") -> httpx.Response:
    what = path or ("me/storage/look" if method == "POST" else "me/storage/largest")
    headers = {"Authorization": f"token {token}"}
    return httpx.request(method, f"{hub.base}{API}{what}", headers=headers, trust_env=False)


def asks(hub: Hub, who: str = "homes") -> tuple[Ask, ...]:
    return service(hub, who).limits("", 0, 0).asks


def test_an_ask_is_one_until_it_is_answered(hub):
    service(hub).report(STATE, [Use("user", "kim", 5)], [])
    kim = hub.login("kim").token()
    assert me(hub, kim).json() == {"homes": []}
    asked = me(hub, kim, "POST")
    assert asked.status_code == 202
    [home] = asked.json()["homes"]
    assert (home["mount"], home["answered_at"], home["seen"]) == ("homes", "", 0)
    [ask] = wait_for("the ask", lambda: asks(hub))
    assert (ask.kind, ask.name) == ("user", "kim")
    assert me(hub, kim, "POST").status_code == 202
    assert asks(hub, "scratch") == (), "it is not of that mount"
    service(hub).seen(ask, 12_000)
    assert me(hub, kim).json()["homes"][0]["seen"] == 12_000
    film = Found("films/summer.mkv", 700, True)
    with pytest.raises(ServiceError, match="Nobody asks that any more"):
        service(hub, "scratch").answer(ask, Largest((film,), 1, True))
    service(hub).answer(ask, Largest((Found("films", 800), film), 900, False))
    [home] = me(hub, kim).json()["homes"]
    assert home["largest"] == [
        {"path": "films", "size": 800, "is_file": False},
        {"path": "films/summer.mkv", "size": 700, "is_file": True},
    ]
    assert (home["used"], home["complete"], bool(home["answered_at"])) == (900, False, True)
    for late in (lambda: service(hub).seen(ask, 1), lambda: service(hub).answer(ask, None, "x")):
        with pytest.raises(ServiceError, match="Nobody asks that any more"):
            late()
    wait_for("it to be known", lambda: asks(hub) == ())
    assert me(hub, kim, "POST").status_code == 202, "it can be asked again"
    [again] = wait_for("the next ask", lambda: asks(hub))
    assert again.number > ask.number


def test_an_agent_that_waits_hears_of_it_at_once_and_once(hub):
    service(hub).report(STATE, [Use("user", "lee", 5)], [])
    lee = hub.login("lee").token()
    known = service(hub).limits("", 0, 0)
    while (heard := service(hub).limits(known.epoch, known.number, 1)).number != known.number:
        known = heard
    last = max((ask.number for ask in known.asks), default=0)
    me(hub, lee, "POST")
    began = time.monotonic()
    heard = service(hub).limits(known.epoch, heard.number, 20, last)
    assert time.monotonic() - began < 5
    [ask] = [ask for ask in heard.asks if ask.name == "lee"]
    began = time.monotonic()
    service(hub).limits(known.epoch, heard.number, 2, ask.number)
    assert time.monotonic() - began >= 2


def test_names_of_files_are_for_their_owner(hub):
    """A service that is called as somebody is, is somebody else; so is who manages the group."""
    service(hub).report(STATE, [Use("user", "homes", 5), Use("user", "pat", 5)], [])
    pat = hub.login("pat")
    assert storage_looks.ask_to_look(hub.ledger(), "pat")
    [ask] = wait_for("the ask", lambda: [ask for ask in asks(hub) if ask.name == "pat"])
    service(hub).answer(ask, Largest((Found("diary", 5),), 5, True))
    assert "diary" in me(hub, pat.token()).text
    for method in ("GET", "POST"):
        answer = me(hub, TOKEN + "homes", method)
        assert answer.status_code == 403, answer.text
    ada = hub.login("prof-ada")
    wait_for("the membership", lambda: "geo" in hub.groups("prof-ada"))
    assert "diary" not in ada.get("services/quotas/groups/geo").text
    theirs = "users/pat/storage/largest"
    assert me(hub, ada.token(), path=theirs).status_code == 403
    assert "diary" in me(hub, hub.login("admin").token(), path=theirs).text


def test_without_a_home_there_is_nothing_to_look_into(hub):
    answer = me(hub, hub.login("newcomer").token(), "POST")
    assert answer.status_code == 404
    assert "No agent of a file system has said anything of your home yet." in answer.text


def test_it_is_forgotten(hub):
    service(hub).report(STATE, [Use("user", "old", 5)], [])
    store = hub.ledger()
    storage_looks.ask_to_look(store, "old")
    with store.db.write() as tx:
        at = store.present(tx) - storage_looks.KEEP - 1
        tx.run("UPDATE storage_look SET asked_at = ? WHERE name = 'old'", at)
    assert storage_looks.looks(store, "old") == []
    pruning.prune(store)
    with store.db.read() as tx:
        assert tx.all("SELECT name FROM storage_look WHERE name = 'old'") == []


def test_the_next_of_a_name_does_not_see_what_the_last_had(hub):
    """Of a user who was deleted, or renamed: the hub's number is another one."""
    store = hub.ledger()
    known_as(store, 9001, "max")
    for next_one in (lambda: known_as(store, 9002, "max"), lambda: known_as(store, 9002, "moritz")):
        service(hub).report(STATE, [Use("user", "max", 5)], [])
        storage_looks.ask_to_look(store, "max")
        assert storage_looks.looks(store, "max")
        next_one()
        assert storage_looks.looks(store, "max") == []


# -- all of it, with an agent -----------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[Path]:
    """Of a file system that sets no limits."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def agent(hub, root, tmp_path) -> Iterator[StorageAgent]:
    made = StorageAgent(tmp_path, hub, root)
    yield made
    made.kill()


def page(visitor: Visitor) -> str:
    return " ".join(unescape(visitor.get("services/quotas/").text).split())


def _if(text: str, words: str) -> str:
    return text if words in text else ""


def look(visitor: Visitor) -> None:
    page(visitor)
    form = {"_xsrf": visitor.xsrf("/services/quotas"), "action": "look"}
    answer = visitor.post("services/quotas/", data=form)
    assert [one.status_code for one in (*answer.history, answer)] == [303, 200], answer.text


def test_an_owner_sees_what_takes_up_the_room(hub, agent, root):
    hub.limits("geo: {member.storage: 10M}")
    home_with(root, "homes/pat/data of 2026/a&b <i>", files=2, size=2_000_000)
    (root / "homes/pat/.cache").write_bytes(b"x" * 3_000_000)
    home_with(root, "secret", files=1, size=9_000_000)
    (root / "homes/pat/link").symlink_to(root / "secret")
    pat = hub.login("pat")
    service(hub).report(STATE, [Use("user", "pat", 7_000_000, 10 * 2**20)], [])
    look(pat)
    assert "the machine that has this home will look soon." in page(pat)
    agent.start()
    text = wait_for("the largest", lambda: _if(page(pat), "What takes up the room"), 30)
    assert "data of 2026/a&b <i>/file-0" in text
    assert "<i>" not in pat.get("services/quotas/").text
    assert "secret" not in text
    assert "/lab/tree/" not in text, "no server runs"
    assert "Traceback" not in agent.log


def test_links_open_folders_in_the_server():
    assert lab_folder("/", "pat", "", "data", False) == "/user/pat/lab/tree/data"
    assert lab_folder("/hub1/", "a b", "x", "d/f", True) == "/hub1/user/a%20b/x/lab/tree/d"
    assert lab_folder("/", "pat", "", "film.mkv", True) == "/user/pat/lab/tree"
    odd = 'a&b/ü?#%"<'
    assert lab_folder("/", "@p/t", "", odd, False) == (
        "/user/%40p%2Ft/lab/tree/a%26b/%C3%BC%3F%23%25%22%3C"
    )
    assert lab_folder("/", "pat", None, "data", False) == "", "no server runs"
    assert lab_folder("/", "pat", "", "data/.git/objects", False) == "", "it is hidden"
    assert lab_folder("/", "pat", "", ".bash_history", True) == "/user/pat/lab/tree"
    assert lab_folder("/", "pat", "", "bad-\N{REPLACEMENT CHARACTER}", False) == ""


def test_it_comes_by_itself_in_the_browser(hub, new_page):
    user, width = "on-a-phone", 320
    hub.login(user)
    service(hub).report(STATE, [Use("user", user, 9 * 2**20, 10 * 2**20)], [])
    page = new_page(viewport={"width": width, "height": 700})
    page.goto(f"{hub.base}hub/login")
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()
    started = hub.api(f"users/{user}/server", "POST")
    assert started.is_success or started.status_code == 400, "the login has started it already"
    wait_for("the server", lambda: hub.server(user), 60)
    page.goto(f"{hub.base}services/quotas/")
    card = page.get_by_role("region", name="Storage")
    card.get_by_role("button", name="Look what takes up the room").click()
    expect(card).to_contain_text("the machine that has this home will look soon.")
    [ask] = wait_for("the ask", lambda: [ask for ask in asks(hub) if ask.name == user])
    service(hub).seen(ask, 12_000)
    expect(card).to_contain_text("Looking… 12,000 files so far.")
    found = Largest(
        (Found("data/" + "long" * 30, 8 * 2**20), Found(".cache", 99)), 9 * 2**20, False
    )
    service(hub).answer(ask, found)
    link = card.get_by_role("link", name="data/longlong")
    expect(link).to_have_attribute("href", re.compile(rf"/user/{user}/lab/tree/data/longlong"))
    expect(card).to_contain_text(".cache/")
    expect(card.get_by_role("link", name=".cache/")).to_have_count(0)
    expect(card).to_contain_text("There was too much to see all of it in time")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
