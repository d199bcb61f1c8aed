"""What a launch is, and what can be none."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from launches import launches

from share_links.addresses import LaunchError, normal_hub
from share_links.buttons import html_button, markdown_link
from share_links.launch import (
    Content,
    Environment,
    Launch,
    Target,
    as_values,
    environment_of,
    from_values,
    target_at,
)


@given(launches)
def test_as_values_and_back(launch):
    assert from_values(as_values(launch)) == launch


@given(launches)
def test_fields_of_the_form_and_back(launch):
    env = launch.environment
    assert environment_of(env.form) == Environment(env.profile, env.options, env.fields, env.image)


def test_one_way_to_write_each():
    same = (
        "https://github.com/earth/geo-book",
        "https://GitHub.com/earth/geo-book.git",
        " https://github.com/earth/geo-book/ ",
    )
    assert {Content(address).repository for address in same} == {same[0]}
    assert Content("git@github.com:earth/geo.git").repository == "ssh://git@github.com/earth/geo"
    # Elsewhere the same with and without .git may be two.
    assert Content("https://git.example.org/r.git/").repository == "https://git.example.org/r.git"
    assert Content("https://git.example.org/r.git", folder="r").folder == ""
    assert normal_hub("https://Hub.example.org/jupyter") == "https://hub.example.org/jupyter/"


def test_what_opens():
    content = Content("https://git.example.org/geo-book.git/")
    file = "intro/a & b #1.ipynb"
    opens = {view: Launch(content, target=Target(view, file)).opens for view in ("lab", "notebook")}
    assert opens == {
        "lab": "lab/tree/geo-book/intro/a%20%26%20b%20%231.ipynb",
        "notebook": "notebooks/geo-book/intro/a%20%26%20b%20%231.ipynb",
    }
    assert Launch().opens == "lab"
    assert Launch(target=Target("notebook", "a.md")).opens == "tree/a.md"
    assert Launch(content, target=Target("vscode")).opens == "vscode/?folder=geo-book"
    assert Launch(content, target=Target("rstudio")).opens == "rstudio/"
    assert target_at("lab/tree/geo-book", "geo-book") == Target()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: normal_hub("hub.example.org"), "'hub.example.org' is not a hub's address"),
        (lambda: normal_hub("javascript:alert(1)"), "is not a hub's address"),
        (lambda: normal_hub("https://hub@evil.example/"), "is not a hub's address"),
        (lambda: normal_hub("https://h/?x=1"), "is not a hub's address"),
        (lambda: normal_hub("https://h//evil.example"), "is not a hub's address"),
        (lambda: Content("geo-book"), "'geo-book' is not a repository's address"),
        (lambda: Content("javascript:alert(1)"), "is not a repository's address"),
        (lambda: Content("ext::sh -c touch% x"), "is not a repository's address"),
        (lambda: Content("--upload-pack=touch x"), "is not a repository's address"),
        (lambda: Content("https://h/a/../../b"), "is not a repository's address"),
        (lambda: Content("https://h/..git"), "is not a repository's address"),
        (lambda: Content("https://sam:secret@h/r"), "may hold no name or password"),
        (lambda: Content("https://ghp_token@github.com/o/r"), "may hold no name or password"),
        (lambda: Content("https://h/r", "--upload-pack=x"), "is no branch, tag or commit"),
        (lambda: Content("https://h/r", "a..b"), "is no branch, tag or commit"),
        (lambda: Content("https://h/r", "a\nb"), "The ref has a control character in it"),
        (lambda: Content("https://h/r", folder="../x"), "is not a folder in the reader's home"),
        (lambda: Content("https://h/r", folder=".ssh"), "is not a folder in the reader's home"),
        (lambda: Target(file="../../etc/passwd"), "is not a path within"),
        (lambda: Target(file="/etc/passwd"), "is not a path within"),
        (lambda: Target(file="a\\..\\b"), "is not a path within"),
        (lambda: Target("terminal"), "There is no view 'terminal'; there are lab, notebook"),
        (lambda: Target("url", path="https://evil.example/"), "is not a path below"),
        (lambda: Target("url", path="//evil.example/"), "is not a path below"),
        (lambda: Target("url", path="%2e%2e/hub/logout"), "is not a path below"),
        (lambda: Target("url", path="a/../../hub"), "is not a path below"),
        (lambda: Target("url", path="\\evil"), "is not a path below"),
        (lambda: Target("url", path="javascript:alert(1)"), "is not a path below"),
        (lambda: Target("url"), "The view 'url' needs a path"),
        (lambda: Target(path="x"), "The view 'url' needs a path"),
        (lambda: Target(cell="c1"), "The cell 'c1' needs a file"),
        (lambda: Environment(options={"image": "x"}), "Options are those of a profile"),
        (lambda: Environment(fields={"next": "x"}), "'next' of the form has a meaning of its own"),
        (lambda: Environment(fields={"opt-x": "x"}), "has a meaning of its own"),
        (lambda: Environment(fields={"a b": "x"}), "'a b' is no name of an option"),
        (lambda: Environment(fields={f"f{n}": "" for n in range(31)}), "At most 30 options"),
        (lambda: Environment(ref="main"), "The ref 'main' needs a repository"),
        (lambda: Launch(join=True), "Readers can only join a group that the link names"),
        (lambda: Launch(group="x" * 1001), "The group is too long"),
    ],
)
def test_what_can_not_work_is_refused(build, said):
    with pytest.raises(LaunchError) as error:
        build()
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("x", "launch: needs a mapping."),
        ({"file": "x"}, "launch: there is no 'file' here; there are content, environment"),
        ({"content": {"ref": "x"}}, "launch.content.repository: needs a text."),
        ({"content": {"repository": 1}}, "launch.content.repository: needs a text."),
        ({"target": {"files": "x"}}, "launch.target: there is no 'files' here"),
        ({"environment": {"options": {"a": 1}}}, "launch.environment.options: needs texts by name"),
        ({"group": 1}, "launch.group: needs a text."),
        ({"join": "yes", "group": "g"}, "launch.join: needs true or false."),
    ],
)
def test_values_that_are_no_launch(values, said):
    with pytest.raises(LaunchError) as error:
        from_values(values)
    assert str(error.value).startswith(said)


def test_the_button_is_a_plain_link():
    url = 'https://h/?a="><script>&b'
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append((tag, dict(attributes)))

    Reader().feed(html_button(url, 'Open "<b>"'))
    assert seen == [("a", {"class": "launch-button", "href": url})]
    assert markdown_link("https://h/", "a [b]") == "[a \\[b\\]](https://h/)"
    assert markdown_link("https://h/(1)", "a") == "[a](<https://h/(1)>)"
