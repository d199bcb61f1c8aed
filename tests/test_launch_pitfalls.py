"""Where launch links used to break, each once, where no other test is about it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import httpx
import pytest
from hubs import Hub, Visitor
from idp import open_canaille
from playwright.sync_api import expect
from test_open import follow, options, path, text_of

from share_links.launch import Environment, Launch

pytestmark = pytest.mark.slow


@pytest.fixture
def kube(start_hub, kubernetes) -> Hub:
    return start_hub("kubeprofiles", image="server", **kubernetes.hub_settings)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (Environment("gone"), "No such profile: gone"),
        (Environment("choose", {"memory": "64g"}), "64g"),
        (Environment("choose", image="NOT AN IMAGE"), "failed validation regex"),
    ],
)
def test_choices_that_kubespawner_only_notices_when_it_starts(kube, environment, words):
    reader = kube.login("sam")
    page = reader.get(path(kube, Launch(None, environment)))
    assert page.status_code == 403
    assert "This hub can't start what the link asks for" in text_of(page)
    assert words in text_of(page)
    assert not kube.api("users/sam").json()["servers"]


def test_profiles_of_kubespawner_are_started_and_known_again(kube):
    reader = kube.login("lee")
    launch = Launch(None, Environment("choose", {"memory": "1g"}))
    page = reader.get(path(kube, launch))
    assert "On choose · 0.5 cores, 1 GiB · image server" in text_of(page)
    follow(reader, reader.send_form(path(kube, launch)))
    assert options(kube, "lee") == {"profile": "choose", "memory": "1g", "image": "usual"}
    # What the profile does by default is what runs; another choice is not.
    again = reader.get(path(kube, Launch(None, Environment("choose"))))
    assert "running something else" not in text_of(again)
    other = reader.get(path(kube, Launch(None, Environment("choose", {"memory": "4g"}))))
    assert "Your server is running something else." in text_of(other)


def test_a_login_elsewhere_leads_back_to_the_link(start_hub):
    """OAuth: the link is kept on the way to the provider and back."""
    with open_canaille() as provider:
        hub = start_hub("oidc", issuer=provider.url)
        provider.add_hub(hub)
        provider.user("linda")
        visitor = Visitor(hub, "linda")
        page = visitor.get(path(hub, Launch(None)))
        assert page.url.path == "/hub/login"
        page = visitor.get(
            html.unescape(re.search(r"href='([^']*oauth_login[^']*)'", page.text)[1])
        )
        for field, value in (("login", "linda"), ("password", "of-linda")):
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
            page = visitor.post(page.url, data={field: value, "csrf_token": token[1]})
        assert str(page.url).startswith(hub.base), page.text[:500]
        assert page.url.path == "/services/launch/open"
        assert "Open a server" in text_of(page)


@pytest.fixture(scope="module")
def node_proxy(tmp_path_factory) -> list[str]:
    """The proxy that Zero to JupyterHub has: the one of the other tests can't tell hosts apart."""
    if not shutil.which("npm"):
        pytest.skip("the proxy is made with Node.js")
    folder = tmp_path_factory.mktemp("proxy")
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "configurable-http-proxy@5"]
    subprocess.run(npm, cwd=folder, check=True, capture_output=True)
    return [str(folder / "node_modules" / ".bin" / "configurable-http-proxy")]


@pytest.mark.browser
def test_services_and_users_with_hosts_of_their_own(start_hub, new_page, node_proxy, tmp_path):
    (tmp_path / "index.html").write_text("<h1>Our hub</h1>")
    book = {"community": str(tmp_path), "community_first": True}
    hub = start_hub("launches", subdomains=True, proxy=node_proxy, share_links=book)
    port = urlsplit(hub.url).port
    base = f"http://hub.localhost:{port}/"
    page = new_page()
    page.goto(base)
    expect(page.get_by_role("heading", name="Our hub")).to_be_visible()
    pages = f"http://launch--service.hub.localhost:{port}/services/launch/"
    assert page.url == f"{pages}community/"
    as_there = {"Host": f"hub.localhost:{port}"}
    first = httpx.get(f"{hub.url}/hub/", headers=as_there, trust_env=False)
    assert first.headers["Location"] == page.url, "at once, not by way of the hub's other addresses"
    page.goto(base + path(hub, Launch(None, Environment("small"))))
    page.locator("[name=username]").fill("sam")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Open a server")).to_be_visible()
    assert page.url.startswith(pages)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_url(f"http://sam.hub.localhost:{port}/user/sam/lab**", timeout=60_000)
    assert options(hub, "sam") == {"profile": "small"}
