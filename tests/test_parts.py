"""What several pages of the quotas show alike."""

from __future__ import annotations

import re

import pytest
from hubs import ROOT

from hub_groups.web import template_environment
from hub_quotas.home_storage import FULL_SHARE, WARN_SHARE

TEMPLATES = ROOT / "hub_quotas" / "templates"


@pytest.mark.parametrize("most", [0, 1, 2, 3, 40, 8 * 2**40])
def test_what_is_full_looks_the_same_also_where_there_is_little_of_it(most):
    shares = {"WARN_SHARE": WARN_SHARE, "FULL_SHARE": FULL_SHARE}
    parts = template_environment(["hub_quotas", "hub_groups"]).get_template("parts.html")

    def colour(used: int) -> str:
        tag = parts.make_module(shares).meter(used, most, "Servers")
        value, low, high = (float(re.search(rf'{n}="([^"]*)"', tag)[1]) for n in NUMBERS)
        if low <= 0:  # then 0, the best, is in the middle, as HTML has it
            return "green" if value <= high else "amber"
        return "green" if value <= low else "amber" if value <= high else "red"

    assert colour(most) == "red"
    assert colour(most + 1) == "red", "over it"
    if most:
        assert colour(0) == "green"
        assert colour(most // 2) == "green"


NUMBERS = ("value", "low", "high")


def test_all_pages_have_one_kind_of_bar():
    named = {path.name for path in TEMPLATES.glob("*.html") if "optimum=" in path.read_text()}
    assert named == {"parts.html"}
