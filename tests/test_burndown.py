"""The picture of a budget says how much there is, and from when to when."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_groups.words import speaking
from hub_quotas.burndown import BurnDown, Label, dates, fitting, picture
from hub_quotas.storage_trend import drawn
from hub_quotas.windows import DAY, HOUR, Calendar, Rolling, Window, parse_window, span

BERLIN = ZoneInfo("Europe/Berlin")
STEPS = 10
WIDE_ONLY = "d-none"
GIB = 2**30


def at(*when: int) -> int:
    return round(datetime(*when, tzinfo=BERLIN).timestamp() * 10**6)


def burn(
    window: Window, now: int, used: int = 20, amount: int = 40, runs_out: int | None = None
) -> BurnDown:
    """As a group's page makes it, of use that is the same at all times."""
    begin, end = span(window, now, BERLIN)
    rolling = isinstance(window, Rolling)
    instants = [begin + (now - begin) * step // STEPS for step in range(STEPS + 1)]
    levels = [used * step // STEPS for step in range(STEPS + 1)]
    end += (end - begin) // 3 if rolling else 0
    return BurnDown(instants, levels, amount, f"{amount} CPU-hours", end, runs_out, rolling)


def month(day: int, **more: int) -> BurnDown:
    return burn(Calendar("month"), at(2026, 11, day, 12), **more)


def shown(one: BurnDown, zone: ZoneInfo = BERLIN) -> ET.Element:
    return ET.fromstring(picture(one, "12 of 40 CPU-hours", zone))


def texts(svg: ET.Element, narrow: bool = False) -> list[str]:
    """What is written, from top to bottom and from left to right."""
    found = [one for one in svg.iter("text") if not (narrow and WIDE_ONLY in one.get("class", ""))]
    found.sort(key=lambda one: (float(one.get("y")), float(one.get("x").rstrip("%"))))
    return [one.text for one in found]


def points(svg: ET.Element, kind: str) -> list[tuple[float, float]]:
    (line,) = (one for one in svg.iter() if one.get("class") == kind)
    pairs = line.get("points", line.get("d", "").strip("Mh0")).split()
    return [tuple(map(float, pair.split(","))) for pair in pairs]


# -- what is written ------------------------------------------------------------------------------


def test_a_month_is_from_its_first_to_its_last_day():
    assert texts(shown(month(16))) == ["40 CPU-hours", "0", "1 Nov", "now", "30 Nov"]


def test_a_rolling_window_goes_on_after_now():
    one = burn(parse_window("30d"), at(2026, 11, 16, 12))
    assert texts(shown(one)) == ["40 CPU-hours", "0", "17 Oct", "now", "26 Nov"]


def test_a_term_of_years_says_which():
    one = burn(parse_window("2026-09-01..2027-08-31"), at(2027, 2, 1))
    assert texts(shown(one))[2:] == ["1 Sep 2026", "now", "31 Aug 2027"]
    one = burn(parse_window("2026-09-01..2027-02-14"), at(2026, 12, 1))
    assert texts(shown(one))[2:] == ["1 Sep", "now", "14 Feb"]


def test_it_is_said_in_the_zone_of_the_hub():
    one = month(16)
    assert texts(shown(one, ZoneInfo("UTC")))[2] == "31 Oct"  # 23:00


def test_it_is_said_in_the_language_of_the_page():
    written = speaking("de", lambda: texts(shown(month(16))))
    assert written[2:] == ["1. Nov.", "jetzt", "30. Nov."]


@pytest.mark.parametrize(("day", "hours"), [(28, 24), (29, 23)])
def test_a_day_has_hours_also_where_it_has_fewer(day, hours):
    one = burn(Calendar("day"), at(2026, 3, day, 12))
    assert (one.end - one.instants[0]) == hours * HOUR
    svg = shown(one)
    assert texts(svg)[2:] == ["00:00", "now", "24:00"]
    (now,) = (text for text in svg.iter("text") if text.text == "now")
    assert float(now.get("x").rstrip("%")) == pytest.approx(100 * (hours - 12) / hours, abs=0.01)


def test_24_hours_say_which_of_them_are_not_today():
    one = burn(parse_window("24h"), at(2026, 10, 25, 14, 40))  # the night had an hour more
    assert texts(shown(one))[2:] == ["24 Oct, 15:40", "now", "22:40"]
    one = burn(parse_window("24h"), at(2026, 11, 16, 15))
    assert texts(shown(one))[2:] == ["15 Nov, 15:00", "now", "23:00"]


def test_words_are_text_and_the_title_stays():
    one = replace(month(16), says="<b> & co")
    svg = ET.fromstring(picture(one, "<i> & more", BERLIN))
    assert texts(svg)[0] == "<b> & co"
    assert (svg.get("role"), svg[0].tag, svg[0].text) == ("img", "title", "<i> & more")
    assert len([*svg.iter("title")]) == 1
    assert " style=" not in picture(one, "", BERLIN)


# -- what is left out -----------------------------------------------------------------------------


LABELS = st.builds(
    Label,
    st.text("x", min_size=1, max_size=20),
    st.one_of(st.floats(0, 100), st.sampled_from([0.0, 100.0])),
)


@given(st.lists(LABELS, max_size=6), st.integers(1, 1200))
def test_what_is_kept_has_room_and_what_is_not_has_none(labels, width):
    kept = fitting(labels, width)
    reaches = [one.reach(width) for one in kept]
    assert all(begin >= 0 and end <= width for begin, end in reaches)
    assert all(a[1] < b[0] or b[1] < a[0] for a, b in combinations(reaches, 2))
    if labels and labels[0].reach(width)[0] >= 0 and labels[0].reach(width)[1] <= width:
        assert kept[0] is labels[0]
    alone = [
        one for one in labels if fitting([one], width) and fitting([*kept, one], width) != kept
    ]
    assert all(any(one is other for other in kept) for one in alone)


def test_of_two_that_touch_the_first_is_kept():
    first, second = Label("1 November", 0), Label("now", 20)
    assert fitting([first, second], 280) == [first]
    assert fitting([second, first], 280) == [second]
    assert fitting([first, second], 800) == [first, second]


def test_where_now_is_near_an_end_the_end_is_said():
    for day in (1, 30):
        assert texts(shown(month(day)))[2:] == ["1 Nov", "30 Nov"]
    for day in (5, 25):
        assert texts(shown(month(day)), narrow=True)[2:] == ["1 Nov", "30 Nov"]
        assert texts(shown(month(day)))[2:] == ["1 Nov", "now", "30 Nov"]


def test_where_nothing_ends_now_is_said_before_how_far_the_picture_goes():
    one = burn(parse_window("36h"), at(2026, 11, 16, 18))
    assert texts(shown(one), narrow=True)[2:] == ["15 Nov, 06:00", "now"]
    assert [label.text for label in fitting(dates(one, BERLIN), 800)][2:] == ["17 Nov, 06:00"]


# -- where it leads -------------------------------------------------------------------------------


def test_when_it_runs_out_is_written_at_the_point():
    svg = shown(month(10, runs_out=at(2026, 11, 20, 12)))
    assert texts(svg)[:2] == ["40 CPU-hours", "20 Nov"]
    (label,) = (one for one in svg.iter("text") if one.text == "20 Nov")
    assert label.get("class") == "burn-out"
    ((x, y),) = points(svg, "burn-end")
    assert float(label.get("x").rstrip("%")) == pytest.approx(x / 6, abs=0.1)
    assert y == points(svg, "burn-limit")[0][1]


@pytest.mark.parametrize("when", [None, at(2026, 11, 10, 12), at(2026, 12, 2)])
def test_there_is_no_point_now_or_later_than_the_picture_goes(when):
    svg = shown(month(10, runs_out=when))
    assert not {"burn-end", "burn-ahead", "burn-out"} & {one.get("class") for one in svg.iter()}
    assert len(texts(svg)) == 5


def test_its_date_is_left_out_where_the_limit_is():
    svg = shown(month(1, runs_out=at(2026, 11, 3, 12)))
    assert "burn-end" in {one.get("class") for one in svg.iter()}
    assert texts(svg)[:2] == ["40 CPU-hours", "0"]


def test_its_date_stays_within_the_edge():
    svg = shown(month(1, runs_out=at(2026, 11, 30, 12)))
    assert texts(svg, narrow=True)[:2] == ["40 CPU-hours", "30 Nov"]
    (label,) = (one for one in svg.iter("text") if one.get("class") == "burn-out")
    assert label.get("text-anchor") == "end"


# -- how high -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "amount", "line", "limit"),
    [(20, 40, 56, 0), (0, 40, 112, 0), (40, 40, 0, 0), (80, 40, 0, 56), (0, 0, 112, 112)],
)
def test_all_is_between_nothing_and_the_most(used, amount, line, limit):
    svg = shown(month(16, used=used, amount=amount))
    assert points(svg, "burn-line")[0] == (0, 112)
    now, height = points(svg, "burn-line")[-1]
    assert height == line
    assert points(svg, "burn-area")[-2:] == [(now, 112), (0, 112)]
    assert {y for _x, y in points(svg, "burn-limit")} == {limit}
    (label,) = (one for one in svg.iter("text") if one.text == f"{amount} CPU-hours")
    assert 12 < float(label.get("y")) < 20 + limit
    assert texts(svg).count("0") == (1 if amount else 0)


def test_what_was_more_than_now_is_in_the_picture_too():
    one = replace(month(16), used=[90, *[30] * STEPS])
    assert points(shown(one), "burn-line")[0] == (0, 0)


# -- storage --------------------------------------------------------------------------------------


def test_storage_has_dates_and_its_limit():
    now = at(2026, 11, 16, 12)
    days = [day * GIB for day in range(1, 31)]
    svg = ET.fromstring(drawn(days, 30 * GIB, 40 * GIB, now, now + 8 * DAY, "My home", BERLIN))
    assert texts(svg) == ["40 GiB", "24 Nov", "0", "18 Oct", "now", "26 Nov"]
    assert svg[0].text == "My home, the last 30 days: from 1 GiB to 30 GiB"
    assert len(points(svg, "burn-line")) == 30


def test_storage_without_a_limit_is_a_line_alone():
    svg = ET.fromstring(drawn([GIB] * 9, GIB, None, at(2026, 11, 16), None, "My home", BERLIN))
    assert not texts(svg)
