"""Launch links."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest

from share_links.launch import Launch, LaunchError, html_button, markdown_link


def opened(url: str) -> tuple[dict[str, str], str, dict[str, str]]:
    """The spawn options, where it goes next, and the options of that."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    after = urlsplit(query.pop("next"))
    return query, after.path, {k: v[0] for k, v in parse_qs(after.query).items()}


def test_a_book_page():
    launch = Launch(
        hub="https://hub.example.org/jupyter/",
        options={"profile": "small"},
        group="earth/geo-101",
        repository="https://github.com/earth/geo-book.git",
        branch="main",
        file="intro/a & b #1.ipynb",
    )
    assert launch.url.startswith("https://hub.example.org/jupyter/hub/spawn?")
    options, path, pull = opened(launch.url)
    assert options == {"opt-profile": "small", "opt-charged_group": "earth/geo-101"}
    assert path == "/jupyter/hub/user-redirect/git-pull"
    assert pull == {
        "repo": "https://github.com/earth/geo-book.git",
        "branch": "main",
        "targetPath": "geo-book",
        "urlpath": "lab/tree/geo-book/intro/a%20%26%20b%20%231.ipynb",
    }


def test_without_a_repository():
    assert opened(Launch("http://h").url) == ({}, "/hub/user-redirect/lab", {})
    assert opened(Launch("http://h", file="a/b.ipynb").url)[1] == (
        "/hub/user-redirect/lab/tree/a/b.ipynb"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hub": "hub.example.org"}, "'hub.example.org' is not a hub's address"),
        ({"hub": "javascript:alert(1)"}, "is not a hub's address"),
        ({"repository": "geo-book"}, "'geo-book' is not a repository's address"),
        ({"repository": "javascript:alert(1)"}, "is not a repository's address"),
        ({"branch": "main"}, "The branch 'main' needs a repository"),
        ({"file": "../../etc/passwd"}, "is not a path within"),
        ({"file": "/etc/passwd"}, "is not a path within"),
    ],
)
def test_what_can_not_work_is_refused(values, said):
    with pytest.raises(LaunchError) as error:
        Launch(**{"hub": "https://hub.example.org", **values})
    assert said in str(error.value)


def test_the_button_is_a_plain_link():
    launch = Launch("https://h/", options={"profile": '"><script>'}, file="a&b.ipynb")
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append((tag, dict(attributes)))

    Reader().feed(html_button(launch, 'Open "<b>"'))
    assert "&amp;next=" in html_button(launch, "Open")
    assert seen == [("a", {"class": "launch-button", "href": launch.url})]
    assert markdown_link(launch, "a [b]") == f"[a \\[b\\]](<{launch.url}>)"
