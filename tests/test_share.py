"""Sharing a file of a running server, on a real hub with real JupyterLab servers."""

from __future__ import annotations

import json
import re
import time

import pytest
from gitserver import commit, git, open_git_server
from hubs import Hub, Visitor, wait_for
from kubelet import DIGEST
from test_axe import look as wrong_with
from test_axe import too_wide
from test_open import follow, options, path, stop_all, text_of

from share_links.launch import Environment, Launch
from share_links.links import Source, Terms
from share_links.store import LinkStore

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
STRANGE = "Übung 1/a & b #1 + 100%.ipynb"
SHARE = "services/launch/share"
IN_2040 = "2040-01-01"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with open_git_server(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches", lab=True)


@pytest.fixture(scope="module")
def store(hub):
    found = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    yield found
    found.close()


def start(visitor: Visitor, profile: str = "large") -> None:
    follow(visitor, visitor.send_form(path(visitor.hub, Launch(None, Environment(profile)))))
    assert options(visitor.hub, visitor.user) == {"profile": profile}


@pytest.fixture(scope="module")
def ada(hub, server) -> Visitor:
    """Somebody whose large server runs, with a clone in their home."""
    visitor = hub.login("prof-ada")
    start(visitor)
    book = hub.folder / "homes/prof-ada/geo-book"
    commit(book, {"a.ipynb": NOTEBOOK, STRANGE: NOTEBOOK, "dirty.ipynb": NOTEBOOK})
    server.publish(book, "geo-book")
    (book / "dirty.ipynb").write_text(NOTEBOOK + "\n")
    return visitor


@pytest.fixture(scope="module")
def sam(hub) -> Visitor:
    return hub.login("sam")


def home(hub: Hub, user: str):
    return hub.folder / "homes" / user


def look(visitor: Visitor, file: str, server: str = ""):
    return visitor.get(SHARE, params={"server": server, "file": file})


def share(visitor: Visitor, file: str, **typed: str):
    """Look at what would travel, and make the link; the page after that."""
    page = look(visitor, file)
    assert page.status_code == 200, text_of(page)
    seen = re.search(r'name="seen" value="([^"]*)"', page.text)[1]
    return visitor.post(
        f"{SHARE}?_xsrf={visitor.xsrf('/services/launch')}",
        data={
            **{"server": "", "file": file, "seen": seen},
            **{"for": "people", "people": "sam", "until": IN_2040, **typed},
        },
    )


def link_of(page) -> str:
    assert re.fullmatch(r"/services/launch/links/\w{10}", page.url.path), text_of(page)
    return page.url.path.rpartition("/")[2]


def go(id: str) -> str:
    return f"services/launch/go/{id}"


def arrive(visitor: Visitor, id: str, **form: str) -> str:
    """Follow a link, and say yes where it asks; the address at which it ends."""
    page = visitor.get(go(id))
    if "/progress/" not in str(page.url):
        page = visitor.send_form(go(id), **form)
    page = follow(visitor, page)
    assert page.status_code == 303, text_of(page)
    return page.headers["Location"]


def snapshots(hub: Hub) -> list[str]:
    folder = hub.folder / "share_links_snapshots"
    return sorted(path.name for path in folder.glob("*"))


# -- what travels ----------------------------------------------------------------------------------


def test_a_file_is_found(hub, ada, sam):
    stop_all(hub, "sam")
    assert "None of your servers runs here." in text_of(sam.get(SHARE))
    page = ada.get(SHARE)
    assert "geo-book/" in text_of(page)
    assert "This hub keeps for you: 0 of 50 copies, 0 bytes of 100 MB." in text_of(page)
    page = ada.get(SHARE, params={"server": "", "folder": "geo-book/Übung 1"})
    (address,) = re.findall(r'href="([^"]+file=[^"]+)"', page.text)
    said = text_of(ada.get(address.replace("&amp;", "&")))
    assert f"Share geo-book/{STRANGE}" in said
    assert ".git" not in text_of(ada.get(SHARE, params={"folder": "geo-book"}))


def test_what_is_committed_is_opened_at_its_commit_in_the_same_environment(hub, ada, sam, server):
    stop_all(hub, "sam")
    head = git(home(hub, "prof-ada") / "geo-book", "rev-parse", "HEAD")
    said = text_of(look(ada, f"geo-book/{STRANGE}"))
    assert f"From {server.url('geo-book')} @ {head}" in said
    assert "On large · 2 cores, 1 GiB" in said
    id = link_of(share(ada, f"geo-book/{STRANGE}"))
    # What its owner does later stays with them.
    (home(hub, "prof-ada") / "geo-book" / STRANGE).write_text("{}")
    address = arrive(sam, id)
    folder = f"geo-book-{head[:7]}"
    assert address.startswith(f"/user/sam/lab/tree/{folder}/")
    assert (home(hub, "sam") / folder / STRANGE).read_text() == NOTEBOOK
    assert options(hub, "sam") == {"profile": "large"}
    git(home(hub, "prof-ada") / "geo-book", "checkout", "--quiet", STRANGE)


def test_what_has_changes_travels_as_a_copy(hub, ada, sam):
    said = text_of(look(ada, "geo-book/dirty.ipynb"))
    assert "a copy of dirty.ipynb, 66 bytes" in said
    assert "A copy, since it has changes that are not committed." in said
    page = share(ada, "geo-book/dirty.ipynb")
    id = link_of(page)
    assert "The link is made." in text_of(page)
    assert "Other forms" not in text_of(page)  # none carries a copy
    seen = sam.get(go(id), headers={"Sec-Purpose": "prefetch"})
    assert "From a copy of dirty.ipynb By prof-ada" in text_of(seen)
    assert arrive(sam, id) == "/user/sam/lab/tree/shared/prof-ada/dirty.ipynb"
    there = home(hub, "sam") / "shared/prof-ada"
    assert (there / "dirty.ipynb").read_text() == NOTEBOOK + "\n"
    # Again: the same one is used; what the reader has made of it stays.
    assert arrive(sam, id) == "/user/sam/lab/tree/shared/prof-ada/dirty.ipynb"
    mine = "x" * len(NOTEBOOK + "\n")  # as large
    (there / "dirty.ipynb").write_text(mine)
    assert arrive(sam, id) == "/user/sam/lab/tree/shared/prof-ada/dirty-2.ipynb"
    assert arrive(sam, id) == "/user/sam/lab/tree/shared/prof-ada/dirty-2.ipynb"
    assert (there / "dirty.ipynb").read_text() == mine
    assert (there / "dirty-2.ipynb").read_text() == NOTEBOOK + "\n"
    assert len(list(there.iterdir())) == 2


def test_any_bytes_under_any_name(hub, ada, sam):
    data = bytes(range(256)) * 20_000
    name = "Größe & 'b' #1 +100%.bin"
    (home(hub, "prof-ada") / name).write_bytes(data)
    said = text_of(look(ada, name))
    assert "5.1 MB A copy, since it is not in a repository." in said
    arrive(sam, link_of(share(ada, name)))
    assert (home(hub, "sam") / "shared/prof-ada" / name).read_bytes() == data


def test_a_copy_for_who_can_not_read_the_repository(hub, ada, sam):
    arrive(sam, link_of(share(ada, "geo-book/a.ipynb", copy="1")))
    assert (home(hub, "sam") / "shared/prof-ada/a.ipynb").read_text() == NOTEBOOK


def test_a_repository_that_wants_a_login_is_not_used_and_its_password_stays(hub, ada, server):
    book = home(hub, "prof-ada") / "geo-book"
    address = server.private_url("geo-book").replace("http://", "http://ada:of-ada@")
    git(book, "remote", "set-url", "origin", address)
    try:
        page = look(ada, "geo-book/a.ipynb")
        assert "A copy, since its repository can't be read without a login." in text_of(page)
        assert ":of-ada" not in page.text
        assert ":of-ada" not in hub.log
    finally:
        git(book, "remote", "set-url", "origin", server.url("geo-book"))


def test_what_has_changed_since_it_was_looked_at_is_shown_again(hub, ada):
    look(ada, "geo-book/a.ipynb")
    page = ada.post(
        f"{SHARE}?_xsrf={ada.xsrf('/services/launch')}",
        data={"server": "", "file": "geo-book/a.ipynb", "seen": "copy", "people": "sam"},
    )
    assert page.status_code == 400
    assert "The file has changed in the meantime. This would travel now:" in text_of(page)
    assert 'name="people" value="sam"' in page.text


# -- who, and what not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("none.ipynb", "There is no file 'none.ipynb' on your server."),
        ("geo-book", "'geo-book' is a folder; choose a file in it."),
        ("../sam/a.ipynb", "'../sam/a.ipynb' is not a path on your server"),
        (".bashrc", "Hidden files can't be shared."),
        ("geo-book/.git/config", "Hidden files can't be shared."),
    ],
)
def test_what_can_not_be_shared(hub, ada, file, words):
    page = look(ada, file)
    assert page.status_code == 400
    assert words in text_of(page)
    page = ada.post(
        f"{SHARE}?_xsrf={ada.xsrf('/services/launch')}",
        data={"server": "", "file": file, "seen": "copy", "people": "sam"},
    )
    assert page.status_code == 400
    assert words in text_of(page)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"people": ""}, "Say for whom the link is"),
        ({"for": ""}, ""),  # for people, never for all by mistake
        ({"for": "group"}, "Choose the group whose members"),
        ({"until": "2001-01-01"}, "2001-01-01 is over."),
    ],
)
def test_for_whom_and_how_long(hub, ada, store, typed, words):
    page = share(ada, "geo-book/dirty.ipynb", **typed)
    if not words:
        assert store.link(link_of(page)).terms.users == ("sam",)
        return
    assert page.status_code == 400
    assert words in text_of(page)
    assert "A copy, since it has changes" in text_of(page)


def test_what_is_too_large_is_said(hub, ada):
    with open(home(hub, "prof-ada") / "large.bin", "wb") as file:
        file.truncate(10_000_001)
    before = snapshots(hub)
    page = share(ada, "large.bin")
    assert page.status_code == 400
    assert "The file has 10 MB; a copy has 10 MB at most." in text_of(page)
    assert snapshots(hub) == before


def test_a_link_for_some_is_nobody_elses(hub, ada):
    page = share(ada, "geo-book/dirty.ipynb")
    id, lee = link_of(page), hub.login("lee")
    assert "This link is for somebody else" in text_of(lee.get(go(id)))
    assert "This link is for somebody else" in text_of(lee.send_form(go(id)))
    assert lee.get(page.url).status_code == 404
    assert not (home(hub, "lee") / "shared").exists()
    assert not hub.server("lee")


def test_a_get_makes_nothing(hub, ada, store):
    before = (snapshots(hub), len(store.links_of("prof-ada")))
    ada.get(
        SHARE,
        params={"server": "", "file": "geo-book/dirty.ipynb", "seen": "copy", "people": "sam"},
    )
    assert (snapshots(hub), len(store.links_of("prof-ada"))) == before
    page = ada.post(SHARE, data={"server": "", "file": "geo-book/a.ipynb", "people": "sam"})
    assert page.status_code == 403
    assert len(store.links_of("prof-ada")) == before[1]


# -- the same environment --------------------------------------------------------------------------


def test_who_runs_something_else_is_asked(hub, ada, sam):
    stop_all(hub, "sam")
    start(sam, "small")
    id = link_of(share(ada, "geo-book/dirty.ipynb"))
    page = sam.get(go(id))
    assert "Your server is running something else." in text_of(page)
    address = arrive(sam, id, way="named")
    assert address.startswith("/user/sam/dirty-ipynb/lab/tree/shared/prof-ada/dirty")
    assert options(hub, "sam", "dirty-ipynb") == {"profile": "large"}
    stop_all(hub, "sam")


@pytest.mark.parametrize("runs", [False, True])
def test_what_the_hub_has_no_more(hub, ada, sam, store, runs):
    """Also where a server of the usual kind runs: that is not what was shared."""
    stop_all(hub, "sam")
    if runs:
        start(sam, "small")
    link = store.make(Launch(), "prof-ada", source=Source({"profile": "huge"}))
    page = sam.get(go(link.id))
    assert page.status_code == 403
    assert "This hub can't start what the link asks for" in text_of(page)
    assert "Open with Large" in text_of(page)
    stop_all(hub, "sam")


def test_a_profile_that_is_gone_of_any_link(hub, sam):
    """Nobody lands in the server that they have, which is not what the link asks for."""
    stop_all(hub, "sam")
    start(sam, "small")
    page = sam.get(path(hub, Launch(None, Environment("huge"))))
    assert page.status_code == 403
    assert "This hub can't start what the link asks for" in text_of(page)
    stop_all(hub, "sam")


# -- the end ---------------------------------------------------------------------------------------


def test_a_link_that_has_ended_takes_its_copy_along(hub, ada, sam, store):
    revoked = link_of(share(ada, "geo-book/dirty.ipynb"))
    ended = link_of(share(ada, "geo-book/dirty.ipynb"))
    ids = {store.link(id).snapshot for id in (revoked, ended)}
    assert ids <= set(snapshots(hub))
    ada.send_form(f"services/launch/links/{revoked}")
    with store.engine.connect().execution_options(writes=True) as db, db.begin():
        db.exec_driver_sql(f"UPDATE stored_link SET until = 1 WHERE id = '{ended}'")
    assert "This link was taken back." in text_of(sam.get(go(revoked)))
    assert "This link has expired." in text_of(sam.get(go(ended)))
    wait_for("the copies to go", lambda: not ids & set(snapshots(hub)))


def test_what_goes_wrong_at_the_reader_is_said(hub, ada, sam):
    stop_all(hub, "sam")
    shared = home(hub, "sam") / "shared"
    if shared.exists():
        shared.rename(home(hub, "sam") / f"before-{time.time()}")
    shared.write_text("a file")
    id = link_of(share(ada, "geo-book/dirty.ipynb"))
    page = sam.get(go(id))
    page = follow(sam, page if "/progress/" in str(page.url) else sam.send_form(go(id)))
    said = text_of(page)
    assert "In your home is a file where the folder shared would be." in said
    assert "Open the server all the same" in said
    shared.unlink()
    assert arrive(sam, id) == "/user/sam/lab/tree/shared/prof-ada/dirty.ipynb"


def test_the_log_has_no_content_and_says_who(hub, ada):
    (home(hub, "prof-ada") / "secret.txt").write_text("the-secret-of-ada")
    id = link_of(share(ada, "secret.txt"))
    assert f"prof-ada shares a file by the link {id}: snapshot" in hub.log
    assert "the-secret-of-ada" not in hub.log


@pytest.mark.slow
def test_a_link_for_a_group_from_a_second_server(hub, ada, sam, store):
    stop_all(hub, "sam")
    hub.api("users/prof-ada/servers/two", "POST", json={"user_options": {"profile": "small"}})
    wait_for("the second server", lambda: hub.server("prof-ada", "two"))
    page = ada.get(SHARE)
    assert "default server" in text_of(page)
    (home(hub, "prof-ada") / "note.md").write_text("x")
    seen = look(ada, "note.md", "two")
    assert "On small · 0.5 cores, 256 MiB" in text_of(seen)
    page = ada.post(
        f"{SHARE}?_xsrf={ada.xsrf('/services/launch')}",
        data={
            **{"server": "two", "file": "note.md", "seen": "copy", "until": IN_2040},
            **{"for": "group", "group": "geo-101"},
        },
    )
    link = store.link(link_of(page))
    assert link.terms == Terms(link.terms.until, group="geo-101")
    arrive(sam, link.id)
    assert options(hub, "sam") == {"profile": "small"}
    hub.api("users/prof-ada/servers/two", "DELETE")


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False])
def test_from_one_colleague_to_another(hub, ada, new_page, scripts):
    hub.login("lee")
    stop_all(hub, "lee")
    phone = {"viewport": {"width": 360, "height": 740}, "java_script_enabled": scripts}
    mine, theirs = new_page(**phone), new_page(**phone)
    for page, user in ((mine, "prof-ada"), (theirs, "lee")):
        page.goto(f"{hub.base}hub/login?next=%2Fhub%2Ftoken")
        page.fill("#username_input", user)
        page.click("#login_submit")
        page.wait_for_url("**/hub/token")
    mine.goto(f"{hub.base}services/launch/")
    mine.click("text=Share a file")
    for step in ("geo-book/", "dirty.ipynb"):
        assert not too_wide(mine) if scripts else True
        mine.click(f"a:has-text('{step}')")
    mine.fill("#people", "lee")
    if scripts:
        assert not too_wide(mine)
        assert not wrong_with(mine)
    mine.click("text=Make the link")
    address = mine.inner_text("#made-url").strip()
    theirs.goto(address)
    if "/progress/" not in theirs.url:
        theirs.click("main button")
    theirs.wait_for_url("**/lab/tree/shared/prof-ada/dirty.ipynb", timeout=60_000)
    there = home(hub, "lee") / "shared/prof-ada/dirty.ipynb"
    assert there.read_text() == NOTEBOOK + "\n"
    mine.goto(f"{hub.base}{SHARE}?folder=geo-book")
    if scripts:
        assert not wrong_with(mine)
    assert re.search(r"[1-9]\d* of 50 copies", mine.inner_text("main"))


# -- on Kubernetes ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_image_than_it_was_shared_from_is_said(start_hub, kubernetes):
    hub = start_hub("kubeprofiles", **kubernetes.hub_settings)
    cleo = hub.login("cleo")
    hub.api("users/cleo/server", "POST", json={"user_options": {"profile": "small"}})
    wait_for("the server", lambda: hub.server("cleo"))
    found = hub.api("group-quotas/launch/cleo", "POST", json={"options": {"profile": "small"}})
    (runs,) = found.json()["servers"]
    assert (runs["image"], runs["digest"]) == (found.json()["wanted"]["image"], DIGEST)
    store = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    options = {"profile": "small"}
    try:
        for image, digest, words in (
            (runs["image"], DIGEST, ""),
            ("lab:0", "", f"from the image lab:0; here it is opened in {runs['image']}."),
            (runs["image"], "sha256:0", f"The image {runs['image']} has changed since"),
        ):
            source = Source(options, image, digest)
            link = store.make(Launch(), "admin", source=source)  # trusted, so nothing else asks
            page = cleo.get(go(link.id), follow_redirects=False)
            for _hop in range(5):  # a login to the pages, the first time
                if page.is_redirect and "/progress/" not in page.headers["Location"]:
                    page = cleo.get(page.headers["Location"], follow_redirects=False)
            if words:
                assert words in text_of(page)
            else:
                assert "/progress/" in page.headers["Location"]
    finally:
        store.close()
