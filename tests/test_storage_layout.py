"""Where homes are: as KubeSpawner has it, and never outside of where they should be."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kubespawner import KubeSpawner
from kubespawner.slugs import escape_slug, safe_slug

from hub_quotas.storage_agent.backend import StorageError
from hub_quotas.storage_agent.layout import Template, escaped, group_folder, safe

ANY = st.text(st.characters(codec="utf-8"), max_size=80)
LIKELY = st.from_regex(r"[a-zA-Z0-9._@+ -]{1,70}", fullmatch=True)
NAMES = st.one_of(ANY, LIKELY, st.text("a1-.A", max_size=60))
FIELDS = ["username", "escaped_username", "safe_username", "user_server", "group"]
MANY = settings(max_examples=2000, deadline=None)


def expanded(template: str, name: str, scheme: str) -> str:
    """By KubeSpawner itself, which needs a cluster for all else."""
    spawner = SimpleNamespace(
        name="", user=SimpleNamespace(name=name, id=1), _namespace_default=lambda: "default"
    )
    result: str = KubeSpawner._expand_user_properties(spawner, template, scheme)
    return result


@MANY
@given(NAMES)
@example("a" * 48)
@example("a" * 49)
@example("1" * 34 + "-" + "b" * 20)
@example("ends\n")
@example("\u212a")  # the sign for Kelvin is a k when it is small
def test_names_are_those_of_kubespawner(name):
    assert safe(name) == safe_slug(name, max_length=48)
    assert escaped(name) == escape_slug(name)


@MANY
@given(NAMES.filter(bool))
@example("1" * 34)
@example("x" * 46)
@example("x" * 47)
def test_templates_are_those_of_kubespawner(name):
    for ours, theirs, scheme in (
        ("claim-{user_server}", "claim-{user_server}", "safe"),
        ("homes/{safe_username}", "homes/{username}", "safe"),
        ("homes/{escaped_username}", "homes/{username}", "escape"),
        ("homes/{escaped_username}/data", "homes/{escaped_username}/data", "safe"),
    ):
        assert home_or(ours, name) in (expanded(theirs, name, scheme), "")


def home_or(template: str, name: str, otherwise: str = "") -> str:
    try:
        return Template.parse(template).home(name)
    except StorageError as error:
        assert "bytes" in str(error) or "control" in str(error), "nothing else is wrong with them"
        return otherwise


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(NAMES, st.text()),
    st.sampled_from(FIELDS),
    st.sampled_from(["{}", "homes/{}", "a/b/claim-{}", "x/{}.d/data"]),
)
def test_no_name_leads_elsewhere(name, field, shape):
    template = Template.parse(shape.replace("{}", f"{{{field}}}"))
    try:
        home = template.home(name)
    except StorageError as error:
        assert str(error).count(". ") == 0 or repr(name) in str(error), "it is one sentence"
        return
    assert len(home.split("/")) == len(shape.split("/"))
    assert not {"", ".", ".."}.intersection(home.split("/"))
    assert "\0" not in home
    assert all(len(part.encode()) <= 255 for part in home.split("/"))
    assert template.matches(home)
    assert home.startswith(f"{template.parent}/" if template.parent else "")


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES.filter(bool), min_size=2, max_size=20, unique=True))
def test_two_names_have_two_homes(names):
    for field in FIELDS:
        homes = []
        for name in names:
            try:
                homes.append(Template.parse(f"homes/{{{field}}}").home(name))
            except StorageError:
                continue
        assert len(set(homes)) == len(homes)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/etc", "a\0b", ".snapshots", "lost+found", "x" * 256, "é" * 128],
)
def test_what_can_not_be_a_directory_is_refused(name):
    with pytest.raises(StorageError, match="can have no directory: ") as error:
        Template.parse("homes/{username}").home(name)
    assert str(error.value).endswith(".")


def test_a_name_that_is_not_unicode_is_refused():
    for field in FIELDS:
        with pytest.raises(StorageError, match="not Unicode"):
            Template.parse(f"{{{field}}}").home("a\ud800")


def test_control_characters_can_not_be_told_apart_when_escaped():
    assert escape_slug("\x01" + "2") == escape_slug("\x12")
    with pytest.raises(StorageError, match="control"):
        Template.parse("{escaped_username}").home("\x012")
    assert Template.parse("{safe_username}").home("\x012")


def test_a_dot_inside_of_the_directorys_name_is_none_of_its_own():
    assert Template.parse("home-{username}").home(".x") == "home-.x"


@pytest.mark.parametrize(
    "text, why",
    [
        ("/homes/{username}", "begins with /"),
        ("homes/../{username}", "has the part '..'"),
        ("./{username}", "has the part '.'"),
        ("homes//{username}", "has an empty part"),
        ("homes/{username}/", "has an empty part"),
        ("", "has an empty part"),
        ("homes", "should have one field"),
        ("homes/{username", "should have one field"),
        ("homes/{{username}}", "should have one field"),
        ("{username}/{username}", "should have one field"),
        ("homes/{}", "has the field {}"),
        ("homes/{user}", "has the field {user}; there are {username}, {escaped_username}"),
        ("homes/{username!r}", "has the field {username!r}"),
        ("homes/\0{username}", "zero byte"),
    ],
)
def test_what_is_no_template_is_said_so_in_a_sentence(text, why):
    with pytest.raises(StorageError) as error:
        Template.parse(text)
    assert why in str(error.value) and str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_parents():
    assert Template.parse("{username}").parent == ""
    assert Template.parse("claim-{safe_username}").parent == ""
    assert Template.parse("a/b/{username}/data").parent == "a/b"


@pytest.mark.parametrize(
    "template, path, does",
    [
        ("homes/{username}", "homes/alice", True),
        ("homes/{username}", "homes/.snapshots", False),
        ("homes/{username}", "homes/alice/deeper", False),
        ("homes/{username}", "homes", False),
        ("homes/{username}", "homes/", False),
        ("homes/{username}", "other/alice", False),
        ("{username}", "alice", True),
        ("{username}", "lost+found", False),
        ("claim-{safe_username}", "claim-alice", True),
        ("claim-{safe_username}", "claim-", False),
        ("claim-{safe_username}", "other", False),
        ("a-{username}-a", "a-a", False),
        ("homes/{username}/data", "homes/alice/data", True),
        ("homes/{username}/data", "homes/data", False),
        ("homes/{username}/data", "homes//data", False),
        ("homes/{username}/data", "homes/alice", False),
    ],
)
def test_directories_that_could_be_somebodys(template, path, does):
    assert Template.parse(template).matches(path) is does


def test_groups():
    assert group_folder("Physics_101") == "Physics_101"
    assert group_folder("uni/geo-101").startswith("uni-geo-101---")
    assert group_folder("a--b") != "a--b"
    shared = Template.parse("shared/{group}")
    assert shared.home("team") == "shared/team"
    assert shared.home("..").startswith("shared/x---")
    with pytest.raises(StorageError):
        shared.home("")
