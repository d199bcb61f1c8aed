"""The page on which readers say which hub is theirs, with and without a login here."""

from __future__ import annotations

import re

import httpx
import pytest
from hubs import Hub
from test_open import text_of

from share_links.book import BookError, BookHub, parse_hubs
from share_links.forms import write
from share_links.launch import Content, Environment, Launch, Target

BOOK = Launch(
    Content("https://git.invalid/geo-book", "main"),
    Environment("large"),
    target=Target(file="maps/a.ipynb"),
)
HUBS = """\
hubs:
  - {label: University of Earth, url: "https://hub.earth.example"}
  - {label: Puller, url: "https://pull.example/x/", form: nbgitpuller}
"""


@pytest.fixture(scope="module")
def hub(start_hub, tmp_path_factory) -> Hub:
    file = tmp_path_factory.mktemp("registry") / "hubs.yml"
    file.write_text(HUBS)
    return start_hub("launches", share_links={"hubs_file": str(file)})


@pytest.fixture
def browser(hub):
    """Of somebody who has no login here."""
    with httpx.Client(base_url=hub.base, timeout=30) as client:
        yield client


def where(hub: Hub) -> str:
    return write("choose", BOOK, hub.base).url


def send(client: httpx.Client, address: str, **fields: str) -> httpx.Response:
    token = re.search(r'name="_xsrf" value="([^"]+)"', client.get(address, params=None).text)
    return client.post(address, data={"_xsrf": token[1] if token else "", **fields})


def test_the_first_time_it_asks_and_then_no_more(hub, browser):
    page = browser.get(where(hub))
    assert page.status_code == 200
    said = text_of(page)
    assert "Where to open maps/a.ipynb?" in said
    assert "This hub (127.0.0.1" in said
    assert "University of Earth" in said
    sent = send(browser, where(hub), hub="University of Earth", remember="1")
    there = write("resolved", BOOK, "https://hub.earth.example/").url
    assert (sent.status_code, sent.headers["Location"]) == (303, there)
    again = browser.get(where(hub))
    assert (again.status_code, again.headers["Location"]) == (303, there)
    asked = browser.get(where(hub) + "&again=1")
    assert asked.status_code == 200
    assert 'value="University of Earth" checked' in asked.text


def test_it_can_be_for_once(hub, browser):
    sent = send(browser, where(hub), hub="Puller")
    assert sent.headers["Location"] == write("nbgitpuller", BOOK, "https://pull.example/x/").url
    assert browser.get(where(hub)).status_code == 200


@pytest.mark.parametrize("chosen", ["other", "Puller"])
def test_a_hub_that_nobody_here_knew(hub, browser, chosen):
    sent = send(browser, where(hub), hub=chosen, url="hub.mars.example/jupyter", remember="1")
    there = write("nbgitpuller", BOOK, "https://hub.mars.example/jupyter/").url
    assert sent.headers["Location"] == there
    assert browser.get(where(hub)).headers["Location"] == there


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "https://", "ftp://x.example", "https://a b", "//x\r\nX: y"]
)
def test_what_is_no_hub_leads_nowhere(hub, browser, url):
    sent = send(browser, where(hub), hub="other", url=url, remember="1")
    assert sent.status_code == 400
    assert "Location" not in sent.headers
    assert browser.get(where(hub)).status_code == 200


def test_a_link_does_not_choose(hub, browser):
    for more in ("&hub=Puller", "&url=https://evil.example", "&hub=other&url=https://evil.example"):
        page = browser.get(where(hub) + more)
        assert page.status_code == 400
        assert "evil.example" not in page.headers.get("Location", "")


def test_another_site_does_not_choose(hub, browser):
    sent = browser.post(where(hub), data={"hub": "Puller", "remember": "1"})
    assert sent.status_code == 403
    assert browser.get(where(hub)).status_code == 200


def test_a_cookie_of_somebodys_own_making_is_none(hub, browser):
    browser.cookies.set("launch-hub", '{"label": "x", "url": "https://evil.example/"}')
    assert browser.get(where(hub)).status_code == 200


def test_what_is_remembered_is_shown_and_forgotten(hub):
    reader = hub.login("sam")
    at = "services/launch/choose"
    assert "lead to" not in text_of(reader.get(at))
    reader.send_form(at, hub="Puller")
    assert "lead to Puller." in text_of(reader.get(at))
    reader.send_form(at, forget="1")
    assert "lead to" not in text_of(reader.get(at))


def test_on_this_hub(hub):
    reader = hub.login("lee")
    reader.get("services/launch/")  # here, too
    label = re.search(r'value="(This hub[^"]+)"', reader.get(where(hub)).text)[1]
    sent = send(reader, where(hub), hub=label)
    page = reader.get(sent.headers.get("Location", sent.url))
    assert page.url.path == "/services/launch/open"
    assert "Open maps/a.ipynb" in text_of(page)


def test_the_file_of_hubs():
    found = parse_hubs({"hubs": [{"label": "A", "url": "https://a.example"}]})
    assert found == (BookHub("A", "https://a.example/", "resolved"),)


@pytest.mark.parametrize(
    ("said", "place", "words"),
    [
        ({"hub": []}, (), "hubs"),
        ({"hubs": [{"label": "A"}]}, ("hubs", "1", "url"), "address"),
        ({"hubs": [{"url": "https://a.example"}]}, ("hubs", "1", "label"), "how readers know"),
        (
            {"hubs": [{"label": "A", "url": "https://a.example"}] * 2},
            ("hubs", "2", "label"),
            "another hub's",
        ),
        (
            {"hubs": [{"label": "A", "url": "https://a.example", "form": "choose"}]},
            ("hubs", "1", "form"),
            "page that asks",
        ),
    ],
)
def test_a_file_of_hubs_that_is_wrong_says_where(said, place, words):
    with pytest.raises(BookError, match=words) as error:
        parse_hubs(said)
    assert error.value.place[: len(place)] == place
