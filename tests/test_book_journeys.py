"""From a page of a built book to the opened notebook, in a browser: Jupyter Book 1 and 2."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from books import KERNEL, notebook
from gitserver import commit, open_git_server
from hubs import ROOT, Hub, wait_for
from playwright.sync_api import Page, expect

from share_links.cli import main
from share_links.store import LinkStore
from share_links.tokens import make_key

pytestmark = [pytest.mark.slow, pytest.mark.browser]

START_MS = 90_000
PHONE = {"width": 360, "height": 740}
MOBILE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36"

PAGES = {
    "index.md": "# A book of maps\n",
    "small map.ipynb": notebook("# The small map"),
    "large.ipynb": notebook("# The large map"),
    "join.md": f"{KERNEL}\n# Join us\n",
}
SETTINGS = """\
hubs:
  - label: Our hub
    url: {hub}
content: {{repository: {repository}, ref: main, subfolder: book}}
environment: {{profile: small}}
pages:
  - {{match: large.ipynb, environment: {{profile: large}}}}
  - {{match: join.md, file: small map.ipynb, group: geo-101, join: true}}
"""


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches", lab=True, base_url="/jupyter/")


@pytest.fixture(scope="module")
def signing(hub) -> str:
    """A private key, whose public part prof-ada has given to the hub."""
    private, public = make_key()
    store = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    store.add_key(public, "prof-ada")
    store.close()
    return private


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("git")
    commit(folder / "work", {f"book/{name}": text for name, text in PAGES.items()})
    with open_git_server(folder / "served") as server:
        yield server.publish(folder / "work", "geo-book")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        """Nobody needs to see who reads the book."""


def serve(folder: Path):
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def build_1(command: Path, folder: Path) -> Path:
    (folder / "_config.yml").write_text('title: Maps\nexecute: {execute_notebooks: "off"}\n')
    chapters = "\n".join(
        f"  - file: {name.rpartition('.')[0]}" for name in PAGES if name != "index.md"
    )
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}\n")
    assert main(["init", str(folder)]) == 0
    subprocess.run([command, "build", "."], cwd=folder, check=True, capture_output=True)
    return folder / "_build" / "html"


def build_2(command: Path, folder: Path) -> Path:
    shutil.copytree(ROOT / "docs" / "template", folder / "theme")
    (folder / "myst.yml").write_text(
        "version: 1\nproject:\n  title: Maps\nsite:\n  template: ./theme\n"
    )
    assert main(["init", str(folder)]) == 0
    assert main(["build", str(folder)]) == 0
    subprocess.run([command, "build", "--html"], cwd=folder, check=True, capture_output=True)
    return folder / "_build" / "html"


@pytest.fixture(scope="module", params=["1", "2"])
def book(request, hub, signing, repository, tmp_path_factory):
    """The address of each page of a built book."""
    folder = tmp_path_factory.mktemp(f"journey{request.param}")
    for name, text in PAGES.items():
        (folder / name).write_text(text)
    settings = SETTINGS.format(hub=hub.base, repository=repository)
    (folder / "share_links.yml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARE_LINKS_KEY", signing)
        if request.param == "1":
            html = build_1(request.getfixturevalue("book_1"), folder)
            names = {"small": "small map.html", "large": "large.html", "join": "join.html"}
        else:
            html = build_2(request.getfixturevalue("book_2"), folder)
            names = {"small": "small-map/", "large": "large/", "join": "join/"}
    for path in names.values():
        file = html / path / ("index.html" if path.endswith("/") else "")
        assert file.exists(), sorted(html.rglob("*.html"))
    server = serve(html)
    yield {name: f"http://127.0.0.1:{server.server_port}/{path}" for name, path in names.items()}
    server.shutdown()
    server.server_close()


_numbers = iter(range(1000))


@pytest.fixture
def reader() -> str:
    """Somebody new, whom nobody has told this hub of."""
    return f"reader{next(_numbers)}"


def click(page: Page, address: str) -> Page:
    """The button of a page of the book; a new tab where the theme opens one."""
    page.goto(address)
    link = page.get_by_role("link", name="Open on Our hub").first
    assert link.get_attribute("href").startswith("http")
    link.evaluate("link => link.removeAttribute('target')")
    link.click()
    return page


def sign_in(page: Page, user: str) -> None:
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()


def log_in(page: Page, hub: Hub, user: str) -> Page:
    page.goto(f"{hub.base}hub/login?next=/jupyter/hub/token")
    sign_in(page, user)
    expect(page.get_by_role("heading", name="Manage JupyterHub Tokens")).to_be_visible()
    return page


def opened(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=START_MS)


def options(hub: Hub, user: str, server: str = "") -> str | None:
    found = hub.server(user, server)
    return found and found["user_options"].get("profile")


def running(hub: Hub, user: str, profile: str) -> None:
    """A server of the user's, with a profile."""
    hub.login(user)
    assert hub.api(
        f"users/{user}/server", "POST", json={"user_options": {"profile": profile}}
    ).is_success
    wait_for("the server", lambda: hub.server(user))


def stopped(hub: Hub, user: str) -> None:
    for name in list(hub.api(f"users/{user}").json()["servers"]):
        hub.api(f"users/{user}/servers/{name}" if name else f"users/{user}/server", "DELETE")
    wait_for("servers to stop", lambda: not hub.api(f"users/{user}").json()["servers"])


def test_logged_out_and_cold_on_a_phone(book, hub, new_page, reader):
    phone = {"viewport": PHONE, "user_agent": MOBILE, "is_mobile": True, "has_touch": True}
    page = click(new_page(**phone), book["small"])
    sign_in(page, reader)
    expect(page.get_by_role("heading", name="Open book/small map.ipynb")).to_be_visible()
    expect(page.get_by_text("prof-ada", exact=True)).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("heading", name="Getting it ready…")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.wait_for_url("**/doc/workspaces/phone/tree/geo-book/book/**", timeout=START_MS)
    opened(page, "The small map")
    assert options(hub, reader) == "small"
    stopped(hub, reader)


def test_a_member_of_the_authors_group_is_asked_nothing(book, hub, new_page):
    page = click(log_in(new_page(), hub, "sam"), book["small"])
    opened(page, "The small map")
    assert options(hub, "sam") == "small"
    # And again, with the server that runs.
    opened(click(page, book["small"]), "The small map")
    stopped(hub, "sam")


@pytest.mark.parametrize(
    ("way", "said", "profiles"),
    [
        ("named", "Open it in a second server, “geo-book”", {"": "small", "geo-book": "large"}),
        ("restart", "Stop that one, and start it anew", {"": "large"}),
        ("go-on", "Go on in the one that runs", {"": "small"}),
    ],
)
def test_a_server_with_another_profile_runs(book, hub, new_page, way, said, profiles):
    running(hub, "sam", "small")
    page = click(log_in(new_page(), hub, "sam"), book["large"])
    expect(page.get_by_text("Your server is running something else")).to_be_visible()
    page.get_by_label(said).check()
    page.get_by_role("button", name="Open", exact=True).click()
    opened(page, "The large map")
    assert ("/user/sam/geo-book/" in page.url) == (way == "named")
    assert {name: options(hub, "sam", name) for name in profiles} == profiles
    stopped(hub, "sam")


def test_refused_by_the_quota_and_then_the_smaller_one(book, hub, new_page):
    hub.limits("geo-101: {server.memory: 512M}")
    try:
        page = click(log_in(new_page(), hub, "lee"), book["large"])
        expect(page.get_by_text("geo-101 allows each server at most 512 MiB")).to_be_visible()
        expect(page.get_by_role("button", name="Open", exact=True)).to_have_count(0)
        page.get_by_role("button", name="Open with Small").click()
        opened(page, "The large map")
        assert options(hub, "lee") == "small"
    finally:
        hub.limits("{}")
        stopped(hub, "lee")


def test_a_link_that_lets_join_a_group(book, hub, new_page, reader):
    page = click(log_in(new_page(), hub, reader), book["join"])
    expect(page.get_by_text("You become a member of geo-101.")).to_be_visible()
    assert "geo-101" not in hub.groups(reader)
    page.get_by_role("button", name="Join and open").click()
    opened(page, "The small map")
    assert "geo-101" in hub.groups(reader)
    assert [one.group for one in hub.ledger().open_sessions(reader)] == ["geo-101"]
    stopped(hub, reader)


def test_without_javascript_as_far_as_the_lab(book, hub, new_page, reader):
    page = click(new_page(java_script_enabled=False), book["small"])
    sign_in(page, reader)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_url("**/lab/tree/geo-book/book/small%20map.ipynb", timeout=START_MS)
    stopped(hub, reader)
