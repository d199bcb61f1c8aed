"""What a BinderHub is asked, and what its events say."""

from __future__ import annotations

import pytest
from binderhub import DOCUMENTED

from share_links.images import Said, Takes, build_path, not_made, read_event, takes_image

FREE = {"enabled": True, "kubespawner_override": {"image": "{value}"}}
COMMIT = "3f2c" * 10


def profile(slug, **options):
    return {"slug": slug, "profile_options": options}


@pytest.mark.parametrize(
    ("repository", "spec"),
    [
        ("https://github.com/earth/env", f"gh/earth/env/{COMMIT}"),
        ("https://gitlab.com/earth/maps/env", f"gl/earth%2Fmaps%2Fenv/{COMMIT}"),
        ("https://git.example.org/env", f"git/https%3A%2F%2Fgit.example.org%2Fenv/{COMMIT}"),
    ],
)
def test_where_it_is_asked(repository, spec):
    assert build_path(repository, COMMIT) == f"build/{spec}?build_only=true"


def test_each_documented_event_is_read():
    def of(phase, **more):
        assert set(more) == set(DOCUMENTED[phase])
        return read_event({"phase": phase, **more})

    assert of("waiting", message="Waiting\n") == Said("Waiting", works=True)
    assert of("fetching", message="Cloning\n") == Said("Cloning", works=True)
    assert of("building", message="Step 1\n") == Said("Step 1", works=True)
    assert of("pushing", message="Pushing", progress={}) == Said("Pushing", works=True)
    assert of("launching", message="x") == Said("x", works=True)
    assert of("built", message="Found\n", imageName="r/x:1") == Said("Found", image="r/x:1")
    assert of("ready", message="Done\n", imageName="r/x:1") == Said("Done", image="r/x:1")
    assert of("failed", message="No such ref\n") == Said("No such ref", failed="No such ref")


@pytest.mark.parametrize("event", [{}, {"phase": None}, {"message": None}])
def test_an_event_that_says_nothing(event):
    assert read_event(event) == Said()


def test_a_failure_without_a_reason_is_one():
    assert read_event({"phase": "failed"}).failed == "It does not say why."


def test_a_profile_that_takes_any_image():
    usual = profile("usual", memory={"unlisted_choice": {"enabled": True}})
    closed = profile("closed", image={"unlisted_choice": {**FREE, "enabled": False}})
    free = profile("free", image={"unlisted_choice": FREE})
    assert takes_image([]) is None
    assert takes_image([usual, closed, {"slug": "plain"}]) is None
    field = "profile-option-free--image--unlisted-choice"
    assert takes_image([usual, closed, free]) == Takes("free", field)
    assert takes_image([usual, closed, free], "free") == Takes("free", field)
    assert takes_image([usual, closed, free], "usual") is None


def test_the_one_that_builds_images_itself_goes_first():
    free = profile("free", image={"unlisted_choice": FREE})
    fancy = profile(
        "fancy", env={"unlisted_choice": FREE, "dynamic_image_building": {"enabled": True}}
    )
    found = Takes("fancy", "profile-option-fancy--env--unlisted-choice")
    assert takes_image([free, fancy]) == found
    assert takes_image([free, fancy], "free").profile == "free"


def test_what_is_shown_of_a_build_that_failed():
    failure = not_made("https://x.org/env", "No such file", [str(n) for n in range(100)])
    assert failure.text == "The environment of https://x.org/env can't be made: No such file"
    assert failure.output == tuple(str(n) for n in range(80, 100))
