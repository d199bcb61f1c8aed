"""What runs and what a link asks for; and what a hub lets its users choose from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.spawner import SimpleLocalProcessSpawner
from threads import finish

from hub_quotas.readers import as_chosen
from share_links.choices import Choice, of_form, of_profiles, with_defaults
from share_links.fitting import (
    GO_ON,
    NAMED,
    RESTART,
    REUSE,
    START,
    Fitting,
    Running,
    Wanted,
    fits,
    fitting,
    server_name,
)

GPU, SMALL = {"profile": "gpu"}, {"profile": "small"}


def what(wanted, *servers, named=True, main="", taken=()):
    return fitting(wanted, servers, main, "Geo Book", named, taken)


def test_nothing_runs():
    assert what(Wanted(GPU)) == Fitting((START,), "")
    assert what(Wanted(GPU), main="work") == Fitting((START,), "work")
    assert what(Wanted(GPU), Running("", GPU, pending="stop")) == Fitting((START,), "")


def test_what_fits_is_used_again():
    assert what(Wanted(GPU), Running("", GPU)) == Fitting((REUSE,), "")
    assert what(Wanted(GPU), Running("", GPU, pending="spawn")) == Fitting((REUSE,), "")
    assert what(Wanted({}, anything=True), Running("", GPU)) == Fitting((REUSE,), "")
    # One that an earlier click has made.
    both = (Running("", SMALL), Running("geo-book", GPU))
    assert what(Wanted(GPU), *both) == Fitting((REUSE,), "geo-book")
    # Who asks for nothing in particular does not get what was made for something else.
    assert what(Wanted({}, anything=True), Running("geo-book", GPU)) == Fitting((START,), "")


def test_what_does_not_fit_is_asked_about():
    small = Running("", SMALL)
    assert what(Wanted(GPU), small) == Fitting((NAMED, RESTART, GO_ON), "", "geo-book", small)
    assert what(Wanted(GPU), small, named=False) == Fitting((RESTART, GO_ON), "", "", small)
    again = what(Wanted(GPU), small, named=False, taken=["geo-book"])
    assert again == Fitting((NAMED, RESTART, GO_ON), "", "geo-book", small)
    other = Running("geo-book", SMALL)
    assert what(Wanted(GPU), small, other).named == "geo-book-2"


def test_defaults_are_part_of_what_is_wanted():
    defaults = {"profile": "small", "image": "usual"}
    assert fits(Wanted(defaults, defaults=defaults), Running("", {}))
    assert fits(Wanted({}, defaults=defaults), Running("", defaults))
    assert not fits(Wanted(GPU, defaults=defaults), Running("", {}))
    assert not fits(Wanted(defaults), Running("", {"profile": "small", "image": "other"}))


def test_what_makes_no_difference_is_left_out():
    assert fits(Wanted(GPU), Running("", {"profile": ["gpu"], "charged_group": "g", "x": ""}))
    mine = {"profile": "gpu", "image--unlisted-choice": "a:1"}
    assert fits(Wanted(mine), Running("", {**mine, "image": "usual"}))
    assert not fits(Wanted(mine), Running("", {**mine, "image--unlisted-choice": "a:2"}))


def test_the_group_counts_where_the_link_names_one():
    assert not fits(Wanted(GPU, group="a"), Running("", GPU, group="b"))
    assert fits(Wanted(GPU, group="a"), Running("", GPU))
    assert fits(Wanted(GPU), Running("", GPU, group="b"))


@given(st.text(max_size=40), st.lists(st.sampled_from(["launch", "a", "a-2", "launch-2"])))
def test_names_that_any_hub_takes(topic, running):
    slugs = pytest.importorskip("jupyterhub.slugs")
    name = server_name(topic, running)
    assert slugs.is_valid_safe_slug(name)
    assert name not in running


PROFILES = [
    {"slug": "small", "display_name": "Small", "default": True},
    {
        "slug": "choose",
        "display_name": "Choose yourself",
        "profile_options": {
            "memory": {"choices": {"1g": {"default": True}, "4g": {}}},
            "image": {"unlisted_choice": {"enabled": True}},
        },
    },
]


def test_choices_of_profiles():
    small, choose = of_profiles(PROFILES)
    assert small == Choice("Small", {"profile": "small"}, True)
    form = {"profile": "choose", "profile-option-choose--memory": "1g"}
    assert choose == Choice("Choose yourself", form)
    assert with_defaults({}, [small, choose]) == {"profile": "small"}
    assert with_defaults({"profile": "choose"}, [small, choose]) == form
    more = {"profile": "choose", "profile-option-choose--memory": "4g"}
    assert with_defaults(more, [small, choose]) == more
    assert with_defaults({"profile": "gone"}, [small, choose]) == {"profile": "gone"}


RADIOS = """
<div><input type="radio" name="profile" id="s" value="small" checked><label for="s">Small: 1 CPU
 </label></div>
<label><input type=radio name=profile value=large> Large</label>
<input type="hidden" name="x" value="1"><input type="submit">
"""
LIST = '<select name="size"><option value="a">A<option value="b" >B</option></select>'


def test_choices_of_a_form():
    assert of_form(RADIOS) == [
        Choice("Small: 1 CPU", {"profile": "small"}, True),
        Choice("Large", {"profile": "large"}),
    ]
    assert of_form(LIST) == [Choice("A", {"size": "a"}, True), Choice("B", {"size": "b"})]


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>none",
        LIST + RADIOS,
        LIST + '<input name="memory">',
        RADIOS + "<textarea>",
        "<select",
    ],
)
def test_a_form_that_only_its_reader_understands(html):
    assert of_form(html) == []


def test_what_is_tried_out_leaves_the_spawner_alone():
    """An admin's own code often changes what it finds in place."""
    spawner = SimpleLocalProcessSpawner(user=SimpleNamespace(name="sam", groups=[]))
    spawner.environment, spawner.args = {"a": "1"}, ["--x"]

    def apply(spawner, options):
        spawner.environment["b"] = options["b"]
        spawner.args.append("--y")

    spawner.apply_user_options = apply
    tried = finish(as_chosen(spawner, {"b": "2"}))
    assert (tried.environment, tried.args) == ({"a": "1", "b": "2"}, ["--x", "--y"])
    assert (spawner.environment, spawner.args) == ({"a": "1"}, ["--x"])
