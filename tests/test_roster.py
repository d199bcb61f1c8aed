"""Rosters: what is read, and what is said of a wrong one."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_groups.memberships import Membership
from hub_groups.roster import USER_COLUMNS, RosterError, parse_roster, read_roster

ROSTERS = Path(__file__).parent / "rosters"
M, L = "member", "manager"


def read(name: str, group: str = "", user: str = ""):
    return read_roster((ROSTERS / name).read_bytes(), name, group, user)


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
        (
            "name,group,,x\na,b",
            "r.csv, line 1: the header has no column 'user' but 'name', 'group', 'x'; a roster "
            "starts with a line such as user,group,role, or is an export of Canvas or Moodle.",
        ),
        ("user,role\na,", "r.csv, line 1: the header has no column 'group' but 'user', 'role';"),
        (",".join("abcdefghij"), "no column 'user' but 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and"),
        ("user,group\nsam", "r.csv, line 2: 'group' is empty"),
        ("user,group\n,geo", "r.csv, line 2: 'user' is empty"),
        ("user,group,role\nsam,geo,boss", "'boss' is not a role; it is member or manager,"),
        (f"user,group\n{'x' * 200_000},geo", "r.csv is not CSV: field larger than"),
        ("course_id,user_id,status\nGEO,U1,gone", "line 2: 'gone' is not a status of Canvas"),
        ("course_id,user_id,status\n,U1,", "line 2: 'course_id' is empty, and so is 'section_id'"),
        ("course_id,user_id\nGEO,", "r.csv, line 2: 'user_id' is empty"),
        ("Student,ID,SIS Login ID,Section", "line 1: a gradebook of Canvas names no group"),
        ("Vorname,E-Mail", "line 1: a list of Moodle's participants names no group"),
        ("username,firstname,lastname", "line 1: an upload of users for Moodle without 'course1'"),
    ],
)
def test_a_wrong_roster_is_refused_with_its_line(text, said):
    with pytest.raises(RosterError) as error:
        parse_roster(text, "r.csv")
    assert said in str(error.value)


# -- exports of learning platforms ---------------------------------------------------------------


def test_a_gradebook_of_canvas():
    book = "canvas_gradebook.csv"
    assert read(book, "geo/101") == {"geo/101": {"ada.l@example.edu": M, "sam": M}}
    assert read(book, "geo/101", "number") == {"geo/101": {"s-1001": M, "s-1002": M}}
    assert read(book, "geo/101", "SIS User ID") == read(book, "geo/101", "number")
    local = read(book, "geo/101", "login local part")
    assert local == {"geo/101": {"ada.l": M, "sam": M}}
    assert read("canvas_gradebook_names.csv", "geo") == {"geo": {"ada": M}}
    with pytest.raises(RosterError, match="no column for 'email' to take user names from"):
        read(book, "geo/101", "email")


def test_somebody_whose_name_is_test_student_is_no_test():
    text = 'Student,ID,SIS User ID,SIS Login ID,Section\n"Student, Test",1,S-1,tstudent,A\n'
    assert [one.user for one in parse_roster(text, "r.csv", "geo")] == ["tstudent"]


def test_enrollments_of_canvas():
    assert read("canvas_enrollments.csv") == {
        "GEO-101": {"u1": M, "u2": L},
        "BIO-2-A": {"u5": M},
    }
    assert set(read("canvas_enrollments.csv", "canvas/")) == {"canvas/GEO-101", "canvas/BIO-2-A"}


def test_participants_of_moodle():
    assert read("moodle_participants.csv", "geo") == {
        "geo": {"ada": M, "sam": M},
        "geo/Mo 10-12": {"sam": M},
        "geo/Lab": {"sam": M},
    }
    whole = read("moodle_participants.csv", "geo", "email")["geo"]
    assert whole == {"ada@example.edu": M, "sam@example.edu": M}
    assert read("moodle_teilnehmer.csv", "geo") == {"geo": {"ada": L, "joerg": M}}


def test_an_upload_of_users_for_moodle():
    assert read("moodle_upload.csv") == {
        "GEO101": {"ada": L, "sam": M},
        "GEO101/Lab": {"sam": M},
        "BIO2": {"sam": L, "lee": M},
    }
    without = "username;firstname;lastname\nSam;S;N\n"
    assert read_roster(without.encode(), "r.csv", "geo") == {"geo": {"sam": M}}


def test_the_roster_of_the_document_is_read():
    document = (ROSTERS.parent.parent / "docs" / "rosters.md").read_text()
    [ours] = re.findall(r"```text\n(.*?)```", document, re.DOTALL)
    assert read_roster(ours.encode(), "r.csv") == {
        "earth-sciences/geo-101": {"prof-ada": L, "sam": M}
    }


def test_the_columns_of_the_document_are_read():
    rows = (ROSTERS.parent.parent / "docs" / "rosters.md").read_text().splitlines()
    table = [[cell.strip().strip("`") for cell in row.strip("| ").split("|")] for row in rows]
    choices = {row[0]: row[1:] for row in table if row[0] in USER_COLUMNS}
    assert choices.keys() == USER_COLUMNS.keys()
    for choice, columns in choices.items():
        assert {column.lower() for column in columns if column} <= set(USER_COLUMNS[choice])


# -- for one group ---------------------------------------------------------------------------------


def test_a_roster_for_a_group_says_nothing_about_others():
    assert read_roster(b"user,role\nada,manager\nsam,", "r.csv", "geo") == {
        "geo": {"ada": L, "sam": M}
    }
    text = "user,group\nada,\nsam,geo/lab\n"
    assert read_roster(text.encode(), "r.csv", "geo") == {
        "geo": {"ada": M},
        "geo/lab": {"sam": M},
    }
    for other in ("bio", "geology", "ge"):
        with pytest.raises(RosterError, match="line 2: .* neither geo nor below it"):
            parse_roster(f"user,group\nada,{other}\n", "r.csv", "geo")


@pytest.mark.parametrize("path", sorted(ROSTERS.glob("*.csv")), ids=lambda path: path.stem)
def test_no_kind_of_file_leaves_its_group(path):
    found = read(path.name, "geo")
    assert found
    assert all(group == "geo" or group.startswith("geo/") for group in found)


# -- as files come ---------------------------------------------------------------------------------

TEXT = "user,group\njürgen,geo\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("latin-1"),
        lambda text: text.replace("\n", "\r\n").encode("cp1252"),
        lambda text: f"sep={text[4]}\r\n{text}".encode(),
    ],
)
def test_as_spreadsheets_save_them(encode, delimiter):
    content = encode(TEXT.replace(",", delimiter))
    assert read_roster(content, "r.csv") == {"geo": {"jürgen": M}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04...", "r.csv is a workbook of a spreadsheet; save it as CSV"),
        (b"\x7fELF\0\0\0\0\0", "r.csv is not a text"),
        (b"\xff\xfea", "r.csv is not a text"),
    ],
)
def test_what_is_no_text(content, said):
    with pytest.raises(RosterError, match=said):
        read_roster(content, "r.csv")


SAMPLES = [path.read_bytes() for path in sorted(ROSTERS.glob("*.csv"))]


@given(
    st.one_of(
        st.binary(),
        st.text(alphabet="user,group;\t\n\"'#/@\0").map(str.encode),
        # A sample that something has happened to.
        st.tuples(
            st.sampled_from(SAMPLES), st.integers(0, 400), st.integers(0, 40), st.binary(max_size=9)
        ).map(lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :]),
    ),
    st.sampled_from(["", "geo", "geo/101", "/"]),
    st.sampled_from(["", "login", "email local part", "number", "id"]),
)
def test_whatever_is_uploaded_is_read_or_refused_in_a_sentence(content, group, user):
    try:
        roll = read_roster(content, "r.csv", group, user)
    except RosterError as error:
        assert str(error).startswith("r.csv")
    else:
        group = group.strip("/")
        for where, people in roll.items():
            assert where and (not group or f"{where}/".startswith(f"{group}/"))
            assert all(people) and set(people.values()) <= {M, L}
