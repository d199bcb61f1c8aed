"""The book of a hub's community: served to anybody, and at the hub's own address."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from test_docs import blocks
from threads import in_a_thread
from tornado import httpclient, httpserver, netutil, web

from share_links.community import CommunityFiles


@pytest.fixture
def book(tmp_path) -> Path:
    folder = tmp_path / "html"
    files = {
        "index.html": "<h1>Our hub</h1>",
        "help/index.html": "<h1>Help</h1>",
        "build/app.js": "1",
        "404.html": "<h1>Not here</h1>",
        ".git/config": "secret",
        "help/.env": "secret",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "html-not").mkdir()
    (tmp_path / "html-not" / "secret.txt").write_text("secret")
    return folder


class Served:
    """The book at `/c/`, without a hub."""

    def __init__(self, folder: Path) -> None:
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        self.base = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        route = (
            r"/c/(.*)",
            CommunityFiles,
            {"path": str(folder), "default_filename": "index.html"},
        )
        httpserver.HTTPServer(web.Application([route])).add_sockets(sockets)

    async def get(self, path: str, **headers: str) -> httpclient.HTTPResponse:
        client = httpclient.AsyncHTTPClient()
        return await client.fetch(
            f"{self.base}{path}", raise_error=False, follow_redirects=False, headers=headers
        )


@in_a_thread
async def test_anybody_reads_its_pages(book):
    served = Served(book)
    first = await served.get("/c/")
    assert (first.code, first.body) == (200, b"<h1>Our hub</h1>")
    assert first.headers["Content-Type"].startswith("text/html")
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    folder = await served.get("/c/help")
    assert (folder.code, folder.headers["Location"]) == (301, "/c/help/")
    assert (await served.get("/c/help/")).body == b"<h1>Help</h1>"
    script = await served.get("/c/build/app.js")
    assert script.headers["Content-Type"] == "text/javascript"


@in_a_thread
async def test_nothing_else_is_read(book):
    served = Served(book)
    outside = ("../secret.txt", "%2e%2e/secret.txt", "help/../../secret.txt", "..%2fsecret.txt")
    hidden = (".git/config", "help/.env", "%2egit/config")
    beside = ("../html-not/secret.txt", "/etc/passwd", "%2Fetc%2Fpasswd")
    for path in (*outside, *hidden, *beside, "none", "build/"):
        answer = await served.get(f"/c/{path}")
        assert answer.code in (403, 404), path
        assert b"secret" not in answer.body
        assert b"root:" not in answer.body
    assert (await served.get("/c/none")).body == b"<h1>Not here</h1>"
    (book / "404.html").unlink()
    assert (await served.get("/c/none")).code == 404


@in_a_thread
async def test_a_book_that_is_built_anew_shows_at_once(book):
    served, index = Served(book), book / "index.html"
    first = await served.get("/c/")
    assert first.headers["Cache-Control"] == "no-cache"
    known = {"If-None-Match": first.headers["Etag"]}
    assert (await served.get("/c/", **known)).code == 304
    index.write_text("<h1>New hub</h1>")
    os.utime(index, ns=(1, index.stat().st_mtime_ns + 1))
    assert (await served.get("/c/", **known)).body == b"<h1>New hub</h1>"


def test_it_is_what_the_hubs_address_shows_before_a_login(fresh_hub, each_hub, book):
    """As docs/community.md says, all of it."""
    lines = "".join(blocks("docs/community.md", "python"))
    assert lines.count("/srv/hub-book/_build/html") == 1
    config = blocks("README.md", "python")[0] + lines.replace(
        "/srv/hub-book/_build/html", str(book)
    )
    hub = fresh_hub("snippet", python=each_hub, config=config)
    with httpx.Client(base_url=hub.base, follow_redirects=True, trust_env=False) as nobody:
        for path in ("", "hub/"):
            page = nobody.get(path)
            assert page.url.path == "/services/launch/community/", path
            assert page.text == "<h1>Our hub</h1>"
            assert not nobody.cookies
        assert nobody.get("services/launch/community/none").text == "<h1>Not here</h1>"
        assert nobody.get("hub/home").url.path == "/hub/login"
    sam = hub.login("sam")
    assert sam.get("").url.path != "/services/launch/community/"
    home = sam.send_form("hub/login", username="sam", password="")
    assert home.url.path != "/services/launch/community/", "who has logged in goes on"
    assert "The hub is away on Sunday" in sam.get("hub/home").text
    made = sam.send_form("services/quotas/help", what="Help")
    assert "mailto:hub-help@example.org?subject=Help&amp;body=Help" in made.text


@pytest.mark.slow
def test_a_book_that_is_not_there_yet_stops_nothing(fresh_hub, tmp_path):
    folder = tmp_path / "later"
    hub = fresh_hub("launches", share_links={"community": str(folder)})
    assert f"there is no index.html in {folder} yet" in hub.log
    assert httpx.get(f"{hub.base}services/launch/community/").status_code == 404
    folder.mkdir()
    (folder / "index.html").write_text("here")
    assert httpx.get(f"{hub.base}services/launch/community/").text == "here"
    assert httpx.get(hub.base, follow_redirects=True).url.path == "/hub/login"
