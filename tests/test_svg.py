"""Plots are well-formed, true to their values, and say what they show."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import jinja2

from hub_quotas.svg import MARKS, bars, sparkline


def tags(drawn: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(drawn).iter(name))


def test_bars_are_as_high_as_their_values():
    drawn = bars([0, 5, 10, -1], ["1", "2", "3", "4"], "use", height=118)
    heights = [float(bar.get("height")) for bar in tags(drawn, "rect")]
    assert heights == [0, 50, 100, 0]
    assert [bar.find("title").text for bar in tags(drawn, "rect")][1] == "2: 5"


def test_a_month_of_bars_writes_only_the_labels_that_fit():
    drawn = bars([1] * 31, [str(day) for day in range(1, 32)], "use")
    written = [label.text for label in tags(drawn, "text")]
    assert written == ["1", "6", "11", "16", "21", "26", "31"]
    assert len(written) <= MARKS


def test_a_line_goes_from_left_to_right_between_nothing_and_the_most():
    (line,) = tags(sparkline([0, 4, 2], 100, 33, "use"), "polyline")
    assert line.get("points") == "0.0,31.5 50.0,1.5 100.0,16.5"


def test_nothing_to_draw_is_still_a_picture_with_words():
    for drawn in (bars([], [], "no use"), sparkline([], 100, 20, "no use")):
        picture = ET.fromstring(drawn)
        assert picture.get("role") == "img" and picture[0].text == "no use"
    assert tags(sparkline([3], 100, 20, "one"), "polyline")[0].get("points").count(",") == 2
    assert "NaN" not in bars([0, 0], ["a", "b"], "zeros")


def test_words_are_text_and_templates_take_the_rest_as_it_is():
    drawn = bars([1], ["<b>"], "a & b", says=['"<i>"'], desc="<u>")
    assert ET.fromstring(drawn)[0].text == "a & b" and "<b>" not in drawn and "<i>" not in drawn
    template = jinja2.Environment(autoescape=True).from_string("{{ drawn }}")
    assert template.render(drawn=drawn) == drawn
    assert " style=" not in drawn
