"""Several sources of membership become one set; what people set by hand survives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub_groups.memberships import Difference, Known, Membership, difference, merge


def known(sourced="", by_people="", lapsed="", pending=None) -> Known:
    return Known(*(frozenset(groups) for groups in (sourced, by_people, lapsed)), pending or {})


def test_sources_add_and_remove_their_own():
    assert merge("", known("ab", pending={"a": False, "b": False})).groups == set("ab")
    assert merge("ab", known("a", pending={"b": True})).groups == {"a"}


def test_what_was_set_by_hand_stays_until_it_is_taken_away_by_hand():
    first = merge("ah", known("a"))
    assert (first.groups, first.added_by_hand) == (set("ah"), {"h"})
    assert merge("ah", known("b", "h", pending={"a": True})).groups == set("bh")
    gone = merge("b", known("b", "h"))
    assert (gone.groups, gone.removed_by_hand) == ({"b"}, {"h"})


def test_what_the_hub_has_not_had_yet_was_not_taken_away():
    assert merge("", known("", "h", pending={"h": False})).groups == {"h"}
    assert merge("", known("", "h"), is_new=True).groups == {"h"}


def test_a_synced_group_that_is_removed_by_hand_returns():
    assert merge("", known("a")).groups == {"a"}


def test_what_has_lapsed_was_ours_and_goes():
    found = merge("a", known(lapsed="a"))
    assert (found.groups, found.added_by_hand, found.pending) == (set(), set(), {"a": True})


def test_a_group_by_hand_and_by_a_source_stays_when_the_source_lets_go():
    assert merge("a", known("a", "a")).removed_by_hand == set()
    assert merge("a", known("", "a")).groups == {"a"}


groups = st.frozensets(st.sampled_from("abcdef"))
waiting = st.dictionaries(st.sampled_from("abcdef"), st.booleans())


@given(groups, groups, groups, groups, waiting, st.booleans())
def test_merging_again_changes_nothing(current, sourced, by_people, lapsed, pending, is_new):
    once = merge(current, Known(sourced, by_people, lapsed, pending), is_new=is_new)
    assert sourced <= once.groups <= sourced | by_people | current
    mine = (by_people - once.removed_by_hand) | once.added_by_hand
    again = merge(once.groups, Known(sourced, mine, frozenset(), once.pending))
    assert (again.groups, again.pending) == (once.groups, {})
    assert not again.added_by_hand and not again.removed_by_hand


def test_a_difference_says_who_comes_who_goes_and_whose_role_is_another():
    before = {"a": {"ada": "manager", "bo": "member"}, "b": {"cy": "member"}}
    after = {"a": {"ada": "member", "cy": "member"}}
    assert difference(before, after, "ldap") == Difference(
        added=(Membership("cy", "a", "ldap"),),
        removed=(Membership("bo", "a", "ldap"), Membership("cy", "b", "ldap")),
        changed=(Membership("ada", "a", "ldap"),),
    )
    assert not difference(before, before, "ldap")
