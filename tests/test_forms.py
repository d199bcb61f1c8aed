"""A launch in every form of address, and back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launches import hubs, launches

from share_links.addresses import LaunchError, normal_hub
from share_links.forms import FORMS, read, write
from share_links.launch import Content, Environment, Launch, Target

BOOK = Launch(
    content=Content("https://github.com/earth/geo-book", "main"),
    environment=Environment("gpu", {"image": "pangeo"}),
    group="earth/geo-101",
    target=Target(file="intro/a & b #1.ipynb"),
)
HUB = "https://hub.example.org/jupyter/"


@pytest.mark.parametrize("form", FORMS)
@given(launch=launches, hub=hubs)
def test_what_a_form_carries_comes_back(form, launch, hub):
    elsewhere = form in ("binder", "colab")
    try:
        written = write(form, launch, "" if elsewhere else hub)
    except LaunchError:
        assert form in ("nbgitpuller", "binder", "colab")
        return
    assert written.url.isascii()
    assert " " not in written.url
    found = read(written.url)
    carried = FORMS[form].carries(launch)
    assert found.launch == carried
    assert (found.launch == launch) == (not written.lost)
    assert elsewhere or found.hub == normal_hub(hub)
    # Who reads it and writes it again gets the same address.
    assert write(form, found.launch, found.hub).url == written.url


@pytest.mark.parametrize("value", ["", " ", "  ", " a "])
def test_a_field_that_is_empty_or_spaces_is_neither_lost_nor_the_other(value):
    launch = Launch(environment=Environment(fields={"shell": value}))
    assert read(write("resolved", launch, HUB).url).launch == launch


@given(launches, hubs)
def test_our_own_form_carries_everything(launch, hub):
    assert write("resolved", launch, hub).lost == ()


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_spawn_link():
    url = write("spawn", BOOK, HUB).url
    assert url.startswith("https://hub.example.org/jupyter/hub/spawn?")
    said = query(url)
    after = urlsplit(said.pop("next"))
    assert said == {
        "opt-profile": "gpu",
        "opt-profile-option-gpu--image": "pangeo",
        "opt-charged_group": "earth/geo-101",
    }
    assert after.path == "/jupyter/hub/user-redirect/git-pull"
    assert query(after.geturl()) == {
        "repo": "https://github.com/earth/geo-book",
        "branch": "main",
        "targetPath": "geo-book",
        "urlpath": "lab/tree/geo-book/intro/a%20%26%20b%20%231.ipynb",
    }
    assert set(query(write("spawn5", BOOK, HUB).url)) == {name[4:] for name in said} | {"next"}


def test_what_is_lost_is_named():
    lost = {form: write(form, BOOK, HUB).lost for form in ("resolved", "spawn", "nbgitpuller")}
    assert lost == {
        "resolved": (),
        "spawn": (),
        "nbgitpuller": ("environment.profile", "environment.options", "group"),
    }
    pinned = Launch(Content("https://h/r", "a" * 40), target=Target(file="x.ipynb", cell="c1"))
    assert write("spawn", pinned, HUB).lost == ("content.ref", "target.cell")
    assert write("binder", BOOK).lost == ("environment.profile", "environment.options", "group")
    assert write("colab", Launch(BOOK.content, target=Target(file="a.ipynb", cell="c"))).lost == ()


def test_what_a_form_can_not_say_at_all():
    with pytest.raises(LaunchError, match="needs a repository"):
        write("nbgitpuller", Launch(), HUB)
    with pytest.raises(LaunchError, match="needs a repository"):
        write("binder", Launch())
    for content in (Content("https://h/r"), Content("https://github.com/o/r", "a/b")):
        with pytest.raises(LaunchError, match="a notebook of a repository at GitHub"):
            write("colab", Launch(content, target=Target(file="a.ipynb")))


@pytest.mark.parametrize(
    ("url", "launch"),
    [
        # sphinx-book-theme, raw slashes
        (
            "https://h/hub/user-redirect/git-pull?repo=https%3A//github.com/o/r"
            "&urlpath=lab/tree/r/docs/page.ipynb&branch=main",
            Launch(
                Content("https://github.com/o/r", "main"), target=Target(file="docs/page.ipynb")
            ),
        ),
        # nbgitpuller's own page: the folder is where nbgitpuller would clone to
        (
            "https://h/hub/user-redirect/git-pull?repo=https://git.example.org/r.git"
            "&urlpath=lab%2Ftree%2Fr.git%2Fa%20b.ipynb",
            Launch(
                Content("https://git.example.org/r.git", folder="r.git"),
                target=Target(file="a b.ipynb"),
            ),
        ),
        # old ones
        (
            "https://h/hub/user-redirect/git-pull?repo=https://github.com/o/r&subPath=a/b.ipynb",
            Launch(Content("https://github.com/o/r"), target=Target(file="a/b.ipynb")),
        ),
        ("https://h/hub/spawn?profile=gpu&display_name=x", Launch(environment=Environment("gpu"))),
        # a hub that sees both ignores those without the prefix
        (
            "https://h/hub/spawn?opt-profile=gpu&profile=small",
            Launch(environment=Environment("gpu")),
        ),
        # myst-theme: two slashes
        (
            "https://mybinder.org/v2/gh/o/r/HEAD?urlpath=%2Flab%2Ftree%2F%2Fcontent%2Fa.ipynb",
            Launch(Content("https://github.com/o/r"), target=Target(file="content/a.ipynb")),
        ),
        (
            "https://mybinder.org/v2/gl/a%2Fb%2Fc/v1?labpath=a%20b.ipynb",
            Launch(Content("https://gitlab.com/a/b/c", "v1"), target=Target(file="a b.ipynb")),
        ),
        (
            "https://colab.research.google.com/github/o/r/blob/main/a%20b.ipynb#scrollTo=c1",
            Launch(
                Content("https://github.com/o/r", "main"),
                target=Target(file="a b.ipynb", cell="c1"),
            ),
        ),
    ],
)
def test_links_of_others_are_read(url, launch):
    assert read(url).launch == launch


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/", "no launch link"),
        ("javascript:alert(1)", "no launch link"),
        ("https://h:port/hub/spawn", "no launch link"),
        ("https://h/hub/spawn?next=https://evil.example/", "leads to https://evil.example/"),
        ("https://h/b/hub/spawn?next=/hub/user-redirect/lab", "leads to /hub/user-redirect/lab"),
        ("https://h/hub/spawn?next=/hub/user-redirect/../../evil", "is not a path below"),
        ("https://h/services/launch/open?repository=x", "A launch link has no 'repository'"),
        ("https://h/services/launch/open?ref=x", "needs a repository"),
    ],
)
def test_what_is_no_launch_link(url, said):
    with pytest.raises(LaunchError) as error:
        read(url)
    assert said in str(error.value)


@given(st.text(max_size=200), st.sampled_from(["open?", "hub/spawn?opt-", "v2/gh/", "github/"]))
def test_anything_else_is_refused_in_words(text, start):
    for url in (text, f"https://h/{start}{text}", f"https://h/services/launch/{start}{text}"):
        try:
            read(url)
        except LaunchError as error:
            assert str(error)
