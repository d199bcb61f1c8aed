"""Launch links on hubs that are set up differently, and links of people who mean no good."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from urllib.parse import quote, urlsplit

import pytest
from hubs import Hub
from test_open import BOOK, LARGE, SMALL, book, follow, options, path, text_of

from share_links.launch import Content, Environment, Launch
from share_links.links import Terms
from share_links.store import LinkStore
from share_links.tokens import make_key, read_private, sign

pytestmark = pytest.mark.slow


def in_two_steps(hub: Hub, user: str, launch: Launch, **form: str):
    visitor = hub.login(user)
    page = visitor.get(path(hub, launch))
    return page, follow(visitor, visitor.send_form(path(hub, launch), **form))


def test_below_a_base_url(start_hub):
    hub = start_hub("launches", base_url="/jupyter/")
    _page, last = in_two_steps(hub, "sam", Launch(None, SMALL))
    assert last.headers["Location"] == "/jupyter/user/sam/lab"
    assert options(hub, "sam") == {"profile": "small"}


def test_without_named_servers(start_hub):
    hub = start_hub("launches", hub={"allow_named_servers": False})
    in_two_steps(hub, "sam", book(SMALL))
    page = hub.login("sam").get(path(hub, book()))
    assert "Stop that one, and start it anew" in text_of(page)
    assert "second server" not in text_of(page)
    in_two_steps(hub, "sam", book(), way="restart")
    assert options(hub, "sam") == {"profile": "large"}


def test_no_more_named_servers_than_there_may_be(start_hub):
    hub = start_hub("launches", hub={"named_server_limit_per_user": 1})
    in_two_steps(hub, "sam", book(SMALL))
    in_two_steps(hub, "sam", book(), way="named")
    other = book(Environment("large"), content=Content("https://git.invalid/other"))
    hub.api("users/sam/servers/geo-book", "DELETE")
    # The one that there is can be started again; no other can be made.
    page = hub.login("sam").get(path(hub, book()))
    assert "Open it in a second server, “geo-book”" in text_of(page)
    assert "second server" not in text_of(hub.login("sam").get(path(hub, other)))


def test_a_hub_whose_default_server_has_a_name(start_hub):
    hub = start_hub("launches", hub={"default_server_name": "work"})
    _page, last = in_two_steps(hub, "sam", Launch(None, LARGE))
    assert last.headers["Location"] == "/user/sam/work/lab"
    assert options(hub, "sam", "work") == {"profile": "large"}
    assert options(hub, "sam") is None
    page = hub.login("sam").get(path(hub, book(SMALL)))
    assert "Your server “work” is running something else." in text_of(page)


def test_a_hub_that_answers_each_start_at_once(start_hub):
    hub = start_hub("launches", slow_spawn_timeout=0)
    _page, last = in_two_steps(hub, "sam", Launch(None, SMALL))
    assert last.headers["Location"] == "/user/sam/lab"
    _page, last = in_two_steps(hub, "sam", Launch(None, LARGE), way="restart")
    assert options(hub, "sam") == {"profile": "large"}


def test_a_form_that_only_its_reader_understands(start_hub):
    """Where the link leaves the environment to the hub, the reader chooses on the hub's form."""
    hub = start_hub("launchforms", kind="typed")
    sam = hub.login("sam")
    where = path(hub, Launch(None))
    sam.get(where)
    page = sam.send_form(where)
    assert page.url.path == "/hub/spawn"
    assert 'name="memory"' in page.text
    after = page.url.params["next"]
    assert re.fullmatch(r"/services/launch/progress/[\w-]+", after)
    sam.post(f"hub/spawn?next={quote(after)}&_xsrf={sam.xsrf('/hub/')}", data={"memory": "300M"})
    last = follow(sam, sam.get(after.lstrip("/"), follow_redirects=True))
    assert options(hub, "sam") == {"memory": ["300M"]}
    assert "lab" in str(last.url) or last.headers["Location"] == "/user/sam/lab"


def test_options_from_form_with_two_arguments(start_hub):
    """JupyterHub's own links fail there: spawn?opt-… ends on the form."""
    hub = start_hub("launchforms", kind="two")
    in_two_steps(hub, "sam", Launch(None, Environment("large")))
    assert options(hub, "sam") == {"profile": "large", "for": "sam"}


# -- people who mean no good -----------------------------------------------------------------------


class Links(HTMLParser):
    """Where a page leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.found += [
            said[name] for name in ("href", "src", "action", "formaction") if name in said
        ]
        if tag == "meta" and said.get("http-equiv") == "refresh":
            self.found.append(said["content"].partition("url=")[2])


EVIL = [
    "https://evil.example/",
    "//evil.example/",
    "javascript:alert(1)",
    "\\\\evil.example",
    "data:x",
]


def hostile(rng: random.Random, key, foreign) -> str:
    """An address below the launch pages that somebody might send."""
    launch = book(SMALL)
    evil = rng.choice(EVIL)
    for _unused in range(rng.randrange(3)):
        evil = quote(evil, safe="")
    token = sign(launch, key)
    at = rng.randrange(len(token) - 2)  # the last sign has bits that say nothing
    header, claims, signature = token.split(".")
    other = sign(book(LARGE), foreign).split(".")
    crlf = rng.choice(
        ["%0d%0aLocation:%20https://evil.example/", "%0aSet-Cookie:%20x=1", "%00", "é"]
    )
    kind = rng.randrange(12)
    swapped = "A" if token[at] != "A" else "B"
    return [
        lambda: f"open?signed={token[:at]}{swapped}{token[at + 1 :]}",
        lambda: f"open?signed={sign(launch, key, Terms(until=rng.randrange(10**9)))}",
        lambda: f"open?signed={sign(launch, foreign)}",
        lambda: f"open?signed={header}.{other[1]}.{signature}",
        lambda: f"open?signed={header}.{claims}.{other[2]}",
        lambda: f"open?repo={quote(evil, safe='')}&file=a.ipynb",
        lambda: f"open?repo={quote(BOOK.repository, safe='')}&path={quote(evil, safe='')}",
        lambda: f"open?repo={quote(BOOK.repository, safe='')}&file={quote(evil, safe='%')}{crlf}",
        lambda: f"open?profile={quote(evil, safe='')}&next={quote(evil, safe='')}",
        lambda: f"go/{quote(evil, safe='')}{crlf}",
        lambda: f"progress/{quote(evil, safe='')}",
        lambda: f"open?view=url&path=..%2f..%2fhub%2flogout&option-x=1&field-next={evil}{crlf}",
    ][kind]()


def test_a_thousand_hostile_links(start_hub):
    hub = start_hub("launches")
    store = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    private, public = make_key()
    key, foreign = read_private(private), read_private(make_key()[0])
    store.add_key(public, "admin")  # whom everybody trusts
    store.close()
    victim = hub.login("victim")
    victim.get("services/launch/")
    rng = random.Random(7)
    for _number in range(1000):
        where = f"services/launch/{hostile(rng, key, foreign)}"
        answer = victim.get(where, follow_redirects=False)
        assert answer.status_code in (200, 400, 403, 404), (where, answer.status_code)
        assert "Location" not in answer.headers, where
        assert {name.lower() for name in answer.headers.get("Set-Cookie", "").split("=")[:1]} <= {
            "",
            "_xsrf",
        }
        links = Links()
        links.feed(answer.text)
        assert links.found
        for link in links.found:
            parts = urlsplit(link)
            ours = not parts.scheme and not parts.netloc and "\\" not in link
            assert ours or parts.netloc == urlsplit(hub.url).netloc, (where, link)
    assert not hub.api("users/victim").json()["servers"]
    # The same key and launch, unaltered, do start something: the test would see it.
    assert "/progress/" in str(
        victim.get(f"services/launch/open?signed={sign(book(SMALL), key)}").url
    )
