"""What users and groups of a directory come to as memberships."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_groups.scim_changes import (
    AS_SENT,
    HOW,
    LOCAL_PART,
    LOWER_CASE,
    Change,
    Person,
    compacted,
    hub_name,
    membership_changes,
    pairs,
)


@pytest.mark.parametrize(
    ("sent", "how", "name"),
    [
        ("Anna@Example.org", AS_SENT, "Anna@Example.org"),
        ("Anna@Example.org", LOWER_CASE, "anna@example.org"),
        ("Anna@Example.org", LOCAL_PART, "anna"),
        ("Anna", LOCAL_PART, "anna"),
        ('"a@b"@example.org', LOCAL_PART, '"a@b"'),
    ],
)
def test_what_the_hub_calls_a_user(sent, how, name):
    assert hub_name(sent, how) == name


def test_nobody_is_without_a_name():
    for sent, how in (("@example.org", LOCAL_PART), (" ", AS_SENT), ("", LOWER_CASE)):
        with pytest.raises(ValueError, match="without a name"):
            hub_name(sent, how)
    with pytest.raises(ValueError, match="userName, lowercase, localpart"):
        hub_name("anna", "upper case")


def test_who_is_not_active_is_in_no_group():
    people = [Person("Anna"), Person("Ben", active=False)]
    assert pairs(people, ["x", "y"], LOWER_CASE) == {("anna", "x"), ("anna", "y")}


def test_changes_are_what_differs():
    assert membership_changes([("a", "x"), ("b", "x")], [("b", "x"), ("c", "y")]) == [
        Change("a", "x", None),
        Change("c", "y", "member"),
    ]


def test_what_was_changed_again_is_told_once():
    on, off = Change("a", "x", "member"), Change("a", "x", None)
    other = Change("b", "x", None)
    assert compacted([on, other, off]) == [other, off]


memberships = st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")))


@given(before=memberships, after=memberships, later=memberships)
def test_changes_lead_from_before_to_after(before, after, later):
    changes = membership_changes(before, after)
    assert applied(before, changes) == after
    assert membership_changes(after, after) == []
    more = [*changes, *membership_changes(after, later)]
    assert applied(before, compacted(more)) == later


def applied(memberships, changes):
    now = set(memberships)
    for user, group, role in changes:
        (now.discard if role is None else now.add)((user, group))
    return now


def test_each_way_to_name_users_is_one():
    assert len({hub_name("Anna@x", how) for how in HOW}) == len(HOW)
