"""What there is to have, and what it costs."""

from __future__ import annotations

from datetime import date

import pytest

from hub_quotas.menu import markdown, menu
from hub_quotas.policy import parse_policy

POLICY = parse_policy(
    {
        "plans": {
            "small": {
                "limits": {
                    "group.gpu": 1,
                    "member.cpu-hours": "40 per 7d",
                    "member.servers": 2,
                    "server.memory": "8G",
                    "server.lifetime": "12h",
                    "server.idle": "1h",
                }
            },
            "free": {"limits": {}},
        },
        "prices": [
            {"since": "2026-01-01", "cpu": 0.04, "memory": 0.005, "gpu": 1, "storage": 0.1},
            {"since": "2027-01-01", "cpu": 0.05},
        ],
        "groups": {"a": {"plan": "small"}, "b": {"plan": "small"}, "c": {}},
    }
)
DAY = date(2026, 9, 21)


def test_plans_say_what_they_give_to_whom():
    free, small = menu(POLICY, DAY, ["b", "c", "unknown"]).offers
    assert (free.name, free.gives, free.groups, free.mine) == ("free", (), 0, ())
    assert (small.name, small.groups, small.mine) == ("small", 2, ("b",))
    assert small.gives == (
        ("each server", "8 GiB of memory, stops after 12 h, stops after 1 h without use"),
        ("each member", "2 servers, 40 CPU-hours in any 7 days"),
        ("the whole group", "1 GPU"),
    )


def test_an_hour_costs_what_the_ledger_will_charge():
    found = menu(POLICY, DAY)
    assert [(one.what, one.rate) for one in found.units] == [
        ("A core", 40_000),
        ("A GPU", 1_000_000),
        ("A GiB of memory", 5_000),
    ]
    assert [(one.what, one.rate) for one in found.sizes] == [
        ("1 core, 4 GiB", 60_000),
        ("2 cores, 8 GiB", 120_000),
        ("4 cores, 16 GiB", 240_000),
        ("8 cores, 32 GiB", 480_000),
        ("4 cores, 16 GiB, 1 GPU", 1_240_000),
    ]
    assert (found.storage, found.until, found.costs) == (100_000, date(2026, 12, 31), True)


def test_prices_are_those_of_the_day():
    later = menu(POLICY, date(2027, 1, 1))
    assert [one.rate for one in later.units] == [50_000]
    assert (later.storage, later.until) == (0, None)
    before = menu(POLICY, date(2025, 12, 31))
    assert (before.units, before.sizes, before.costs) == ((), (), False)
    assert before.until == date(2025, 12, 31)


def test_a_server_has_a_price_of_its_own():
    prices = [{"since": "2026-01-01", "servers": 0.5, "nvidia.com/a100": 2}]
    found = menu(parse_policy({"prices": prices}), DAY)
    assert [one.rate for one in found.sizes] == [500_000] * 4 + [2_500_000]


def test_markdown_for_a_book():
    assert markdown(menu(POLICY, DAY), "€") == (
        """| Plan | What it gives |
| --- | --- |
| **free** |  |
| **small** | each server: 8 GiB of memory, stops after 12 h, stops after 1 h without """
        """use<br>each member: 2 servers, 40 CPU-hours in any 7 days<br>the whole group: 1 GPU |

| What | An hour |
| --- | --- |
| A core | 0.04 € |
| A GPU | 1.00 € |
| A GiB of memory | 0.005 € |

| What | An hour |
| --- | --- |
| 1 core, 4 GiB | 0.06 € |
| 2 cores, 8 GiB | 0.12 € |
| 4 cores, 16 GiB | 0.24 € |
| 8 cores, 32 GiB | 0.48 € |
| 4 cores, 16 GiB, 1 GPU | 1.24 € |

A GiB of storage costs 0.10 € a month.

These prices hold until 31 Dec 2026.
"""
    )
    assert markdown(menu(parse_policy({}), DAY)) == ""


@pytest.mark.parametrize("name", ["a|b", "*a*", "<b>", "[a](b)", "`a`"])
def test_a_name_can_not_break_a_table(name):
    policy = parse_policy({"plans": {name: {"limits": {"member.servers": 1}}}})
    row = markdown(menu(policy, DAY)).splitlines()[2]
    plain = row.replace("\\|", "").replace("\\", "\\")
    assert plain.count("|") == 3
    for sign in "*<>[]`":
        assert sign not in name or f"\\{sign}" in row
