"""Several sources of membership become one set; what people set by hand survives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub_groups.memberships import Known, merge


def known(applied="", sourced="", by_hand="") -> Known:
    return Known(*(frozenset(groups) for groups in (applied, sourced, by_hand)))


def test_sources_add_and_remove_their_own():
    assert merge("", known(sourced="ab")).groups == set("ab")
    assert merge("ab", known(applied="ab", sourced="a")).groups == {"a"}


def test_what_was_set_by_hand_stays_until_it_is_taken_away_by_hand():
    first = merge("ah", known(applied="a", sourced="a"))
    assert (first.groups, first.by_hand) == (set("ah"), {"h"})
    later = merge("ah", known(applied="ah", sourced="b", by_hand="h"))
    assert later.groups == set("bh")
    gone = merge("b", known(applied="bh", sourced="b", by_hand="h"))
    assert gone.groups == {"b"}


def test_a_synced_group_that_is_removed_by_hand_returns():
    assert merge("", known(applied="a", sourced="a")).groups == {"a"}


groups = st.frozensets(st.sampled_from("abcdef"))


@given(current=groups, applied=groups, sourced=groups, by_hand=groups)
def test_merging_again_changes_nothing(current, applied, sourced, by_hand):
    once = merge(current, Known(applied, sourced, by_hand))
    assert sourced <= once.groups <= sourced | current
    again = merge(once.groups, Known(once.groups, sourced, once.by_hand))
    assert again == once
