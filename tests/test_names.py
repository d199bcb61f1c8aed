"""Pasted lists of names, and days."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_groups.names import PeopleError, last_day, parse_names, read_end, resolve

DAY = 86_400


def names(text: str, *in_hub: str) -> tuple[str, ...]:
    return resolve(parse_names(text), in_hub).all


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sam", ["sam"]),
        ("sam kim,lee;mia\nnoa\r\noli\tpia", ["sam", "kim", "lee", "mia", "noa", "oli", "pia"]),
        (" sam ,, sam\n\nSam ", ["sam"]),
        ("“sam”, 'kim'; (lee)", ["sam", "kim", "lee"]),
        ("sam@x.org, kim@x.org", ["sam@x.org", "kim@x.org"]),
        ("Doe, Jane <jane@x.org>", ["jane@x.org"]),
        ("Jane Doe <jane@x.org>; Doe, Joe <joe@x.org>", ["jane@x.org", "joe@x.org"]),
        ('"Doe, Jane" <jane@x.org>, Joe <JOE@x.org>', ["jane@x.org", "joe@x.org"]),
        ("sam, Doe, Jane <jane@x.org>, kim", ["sam", "jane@x.org", "kim"]),
        ("sam, kim, Jane <jane@x.org>", ["sam", "kim", "jane@x.org"]),
        ("<jane@x.org> <mailto:joe@x.org>", ["jane@x.org", "joe@x.org"]),
        ("mailto:jane@x.org", ["jane@x.org"]),
        ("van-der-berg o'neil müller 山田", ["van-der-berg", "o'neil", "müller", "山田"]),
        ("", []),
        (" ,;\n", []),
    ],
)
def test_a_pasted_list(text, found):
    assert list(names(text)) == found


def test_an_address_means_the_user_whom_the_hub_has():
    assert names("Sam@x.org", "sam") == ("sam",)
    assert names("Sam@x.org", "sam@x.org", "sam") == ("sam@x.org",)
    assert names("Sam", "sam") == ("sam",)
    assert names("Sam", "Sam") == ("Sam",)


def test_addresses_that_the_hub_does_not_have_are_taken_as_the_others_of_the_list():
    found = resolve(parse_names("sam@x.org kim@x.org"), {"sam"})
    assert (found.known, found.unknown) == (("sam",), ("kim",))
    found = resolve(parse_names("sam@x.org kim@x.org"), {"sam@x.org"})
    assert (found.known, found.unknown) == (("sam@x.org",), ("kim@x.org",))
    found = resolve(parse_names("sam@x.org sam"), {"sam"})
    assert (found.known, found.unknown) == (("sam",), ())


@pytest.mark.parametrize("text", ["a\x00b", "a\u202eb", "A" * 300, "a<b", "x>y"])
def test_what_is_no_name_is_said(text):
    with pytest.raises(PeopleError, match="is no user name"):
        parse_names(text)


def test_not_too_many_at_once():
    assert len(parse_names(" ".join(f"s{n}" for n in range(1000)))) == 1000
    for text in (" ".join(f"s{n}" for n in range(1001)), "x" * 200_000):
        with pytest.raises(PeopleError, match="too many"):
            parse_names(text)


NAME = st.from_regex(r"[a-z][a-z0-9_-]{0,11}", fullmatch=True)
BETWEEN = st.sampled_from([",", ", ", "\n", ";", " ", "\r\n", "\t", " ,\n"])
AS = st.sampled_from(["{}", "{}@x.org", "Surname, Given <{}@x.org>", "Given Surname <{}>", "<{}>"])


@given(st.lists(st.tuples(NAME, AS, BETWEEN), max_size=20))
def test_nobody_is_lost_however_they_are_pasted(people):
    text = "".join(
        # After a comma or a blank, a display name can't be told from a name.
        form.format(name) + (between if "<" not in form else ";")
        for name, form, between in people
    )
    text = text.replace(";", "\n")
    plain = "\n".join(form.format(name) for name, form, _ in people)
    wanted = {name for name, _, _ in people}
    for pasted in (plain, text if all("<" not in form for _, form, _ in people) else plain):
        found = resolve(parse_names(pasted), wanted)
        assert set(found.known) == wanted
        assert not found.unknown


@given(st.text(max_size=400))
def test_any_text_is_names_or_an_error(text):
    try:
        found = parse_names(text)
    except PeopleError as error:
        assert str(error).isprintable()
        return
    for one in found:
        assert one.candidates
        assert all(name.isprintable() and 0 < len(name) <= 255 * 3 for name in one.candidates)
        assert len(set(one.candidates)) == len(one.candidates)


# -- days ---------------------------------------------------------------------------------------


def test_the_end_of_a_day_counts_and_is_shown_as_that_day():
    assert read_end("", 0) is None
    assert read_end("1970-01-02", 0) == 2 * DAY
    assert str(last_day(2 * DAY)) == "1970-01-02"
    assert read_end("1970-01-02T06:00Z", 0) == read_end("1970-01-02T06:00", 0) == 1.25 * DAY
    assert read_end("1970-01-02T06:00+06:00", 0) == DAY


@pytest.mark.parametrize(
    "text", ["soon", "24.12.2026", "2026-13-01", "20261224", "9999-99-99", "²"]
)
def test_what_is_no_day_is_said(text):
    with pytest.raises(PeopleError, match="is no day"):
        read_end(text, 0)


def test_an_end_is_still_to_come():
    with pytest.raises(PeopleError, match="is over"):
        read_end("1970-01-01", DAY)
    with pytest.raises(PeopleError, match="too far away"):
        read_end("9999-12-31", 0)


@given(st.text(max_size=50))
def test_any_text_is_a_day_or_an_error(text):
    try:
        found = read_end(text, 0)
    except PeopleError:
        return
    assert found is None or found > 0
    if found is not None:
        last_day(found)
