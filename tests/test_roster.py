"""Rosters: what is read, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from hub_groups.memberships import Membership
from hub_groups.roster import RosterError, parse_roster


def test_a_roster():
    text = "\ufeffGroup, User ,role,section\n# staff\n/geo/101/,ada,manager,1\n\ngeo/101,sam,,2\n"
    assert parse_roster(text, "r.csv") == (
        Membership("ada", "geo/101", "roster:r.csv", "manager"),
        Membership("sam", "geo/101", "roster:r.csv", "member"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "r.csv: the roster is empty."),
        ("name,group\na,b", "r.csv, line 1: the header has no column 'user'."),
        ("user,group\nsam", "r.csv, line 2: 'group' is empty"),
        ("user,group\n,geo", "r.csv, line 2: 'user' is empty"),
        ("user,group,role\nsam,geo,boss", "r.csv, line 2: 'boss' is not a role."),
    ],
)
def test_a_wrong_roster_is_refused_with_its_line(text, said):
    with pytest.raises(RosterError) as error:
        parse_roster(text, "r.csv")
    assert said in str(error.value)
