"""Class rosters, of our own kind and as Canvas and Moodle export them, to memberships. Pure.

Which kind a file is, its header says. Names of columns count without regard to case.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .memberships import MANAGER, MEMBER, ROLES, Membership, Roll

COLUMNS = ("user", "group", "role")
DELIMITERS = (",", ";", "\t")

LOCAL_PART = " local part"
"""What a choice of a column ends with where only what is before the @ counts."""

USER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "login": ("user", "sis login id", "login_id", "username", "anmeldename"),
    "email": ("email", "email address", "e-mail", "e-mail-adresse"),
    "number": ("sis user id", "user_id", "id number", "idnumber", "id-nummer"),
}
"""What may be chosen as the user name in every kind of file, and what it is called there."""


class RosterError(ValueError):
    """A roster that can't be read; the message says where and what would be right."""


class MissingColumn(RosterError):
    """A column is missing, or another one is meant."""


def read_roster(content: bytes, name: str, group: str = "", user: str = "") -> Roll:
    """What a roster says, from a file as it was exported or uploaded.

    Args:
        content: text in UTF-8, UTF-16 (Excel's "Unicode text") or Windows' Latin-1.
        name, group, user: as for `parse_roster`.

    Raises:
        RosterError: as `parse_roster` does, and for what is no text.
    """
    roll: dict[str, dict[str, str]] = {}
    for one in parse_roster(_decoded(content, name), name, group, user):
        roll.setdefault(one.group, {})[one.user] = one.role
    return roll


def parse_roster(text: str, name: str, group: str = "", user: str = "") -> tuple[Membership, ...]:
    """The memberships in a roster, each with the source `roster:NAME`.

    Args:
        text: a header and lines, with commas, semicolons or tabs between the cells. Of our own
            kind: `user`, `group`, and optionally `role` (`member`, the default, or `manager`).
            Or a gradebook or `enrollments.csv` of Canvas, or the participants of a course or the
            upload of users of Moodle. Empty lines and lines that start with `#` are skipped;
            other columns are ignored.
        name: what to call the roster in the source and in error messages (a file name).
        group: the group that the roster is for. No membership is in another one, but in those
            below it. Files of some kinds name no group: they need this.
        user: which column is the user name: its name in the file, or one of `USER_COLUMNS`;
            `email local part` is what is before the @. By default what is usual for the kind.

    Raises:
        RosterError: it is not CSV; for a missing column, an empty user or group, or an unknown
            role.
    """
    try:
        table = _table(text, name)
        kind = next((kind for kind in _KINDS if kind.fits(set(table.header))), _OWN)
        group = group.strip().strip("/")
        asked = _Asked(table, group, _user_of(table, user.strip().lower() or kind.user))
        found: dict[tuple[str, str], str] = {}
        for line, who, where, role in kind.read(asked):
            if group and where != group and not where.startswith(f"{group}/"):
                raise RosterError(
                    f"{line.at}: the group '{where}' is neither {group} nor below it, "
                    f"and this roster is for {group}."
                )
            found[who, where] = role
    except csv.Error as error:
        raise RosterError(f"{name} is not CSV: {error}.") from None
    return tuple(
        sorted(
            Membership(who, where, f"roster:{name}", role) for (who, where), role in found.items()
        )
    )


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """A line: where it is, and its cells by the name of their column in lower case."""

    at: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True)
class _Table:
    name: str
    at: str
    header: tuple[str, ...]
    lines: Iterator[_Line]


def _decoded(content: bytes, name: str) -> str:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise RosterError(f"{name} is a workbook of a spreadsheet; save it as CSV there.")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content[:200]:  # every other byte of what is written in Latin letters
        encodings = ["utf-16-be" if content[0] == 0 else "utf-16-le"]
    else:
        encodings = ["utf-8", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise RosterError(f"{name} is not a text; a roster is CSV, in UTF-8 for example.")


def _table(text: str, name: str) -> _Table:
    delimiter, header, at = _header(text, name)
    return _Table(name, at, header, _lines(text, name, delimiter, header))


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that say something, with the number of the line that they end on."""
    lines = io.StringIO(text.lstrip("\ufeff"), newline=None)  # whatever ends them
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    for row in rows:
        cells = [cell.strip() for cell in row]
        # Excel takes the delimiter from a first line such as `sep=;`, and writes one.
        told = rows.line_num == 1 and re.fullmatch("sep=.?", delimiter.join(row).strip())
        if any(cells) and not cells[0].startswith("#") and not told:
            yield rows.line_num, cells


def _header(text: str, name: str) -> tuple[str, tuple[str, ...], str]:
    """The delimiter, the header, and where it is: as the delimiter that makes most sense of it."""
    best: tuple[tuple[bool, int], str, tuple[str, ...], str] | None = None
    for delimiter in DELIMITERS:
        line, cells = next(_rows(text, delimiter), (0, []))
        header = tuple(" ".join(cell.split()).lower() for cell in cells)
        sense = (any(kind.fits(set(header)) for kind in _KINDS), len(header))
        if header and (best is None or sense > best[0]):
            best = sense, delimiter, header, f"{name}, line {line}"
    if best is None:
        raise RosterError(
            f"{name}: the roster is empty. It starts with a line such as: {','.join(COLUMNS)}"
        )
    return best[1:]


def _lines(text: str, name: str, delimiter: str, header: tuple[str, ...]) -> Iterator[_Line]:
    rows = _rows(text, delimiter)
    next(rows)
    for number, cells in rows:
        # Of two columns of a name the first: behind it are those that teachers have called so.
        pairs = list(zip(header, cells, strict=False))
        yield _Line(f"{name}, line {number}", dict(reversed(pairs)))


# -- what the kinds have in common -----------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """A table, the group that it is for, and who is meant by a line."""

    table: _Table
    group: str
    user: Callable[[_Line], str]

    def within(self, *names: str) -> str:
        """A group below the one that was asked for; each name is one step, whatever is in it."""
        steps = [" ".join(name.replace("/", "-").split()) for name in names]
        return "/".join(step for step in (self.group, *steps) if step)

    def needs_group(self, what: str) -> None:
        if not self.group:
            raise RosterError(
                f"{self.table.at}: {what} names no group; say which group the roster is for."
            )


_Found = Iterator[tuple[_Line, str, str, str]]
"""Lines with a user, a group and a role."""


@dataclass(frozen=True)
class _Kind:
    """A kind of file: by which columns it is told, whom it means by default, how it is read."""

    fits: Callable[[set[str]], bool]
    user: str
    read: Callable[[_Asked], _Found]


def _user_of(table: _Table, choices: str) -> Callable[[_Line], str]:
    """Who is meant by a line, where the first of some choices counts that there is a column for."""
    for choice in choices.split("|"):
        local = choice.endswith(LOCAL_PART)
        called = choice.removesuffix(LOCAL_PART)
        for column in (called, *USER_COLUMNS.get(called, ())):
            if column in table.header:
                return lambda line: _user(line, column, local)
    if choices == "user":
        raise _no_column(table, "user")
    raise MissingColumn(
        f"{table.at}: there is no column for '{choice}' to take user names from; "
        f"the columns are {_columns(table)}."
    )


def _user(line: _Line, column: str, local: bool) -> str:
    value = line[column]
    who = value.partition("@")[0].strip() if local else value
    if not who:
        raise RosterError(f"{line.at}: '{column}' is empty; each line names a user and a group.")
    return who


def _no_column(table: _Table, column: str) -> RosterError:
    return MissingColumn(
        f"{table.at}: the header has no column '{column}' but {_columns(table)}; a roster starts "
        f"with a line such as {','.join(COLUMNS)}, or is an export of Canvas or Moodle."
    )


def _columns(table: _Table) -> str:
    """The first of them."""
    named = [name[:50] for name in table.header if name]
    return ", ".join(f"'{name}'" for name in named[:8]) + (" and others" if named[8:] else "")


def _highest(found: _Found) -> _Found:
    """A line for each enrolment: who manages in one of them manages. Names as the hub has them."""
    managers: set[tuple[str, str]] = set()
    for line, user, group, role in found:
        who = user.lower()
        if role == MANAGER:
            managers.add((who, group))
        yield line, who, group, MANAGER if (who, group) in managers else MEMBER


# -- our own ---------------------------------------------------------------------------------------


def _own(asked: _Asked) -> _Found:
    if "group" not in asked.table.header and not asked.group:
        raise _no_column(asked.table, "group")
    for line in asked.table.lines:
        user = asked.user(line)
        group = line["group"].strip("/") or asked.group
        role = line["role"] or MEMBER
        if not group:
            raise RosterError(f"{line.at}: 'group' is empty; each line names a user and a group.")
        if role not in ROLES:
            raise RosterError(
                f"{line.at}: '{role[:50]}' is not a role; it is {' or '.join(ROLES)}, or empty "
                f"for {MEMBER}."
            )
        yield line, user, group, role


_OWN = _Kind(lambda header: "user" in header, "user", _own)


# -- Canvas ----------------------------------------------------------------------------------------

_COUNTS = {"": True, "active": True, "inactive": False, "completed": False}
_COUNTS |= {"deleted": False, "deleted_last_completed": False}


def _is_gradebook(header: set[str]) -> bool:
    named = "student" in header or {"lastname", "firstname"} <= header
    return named and {"id", "section"} <= header


def _gradebook(asked: _Asked) -> _Found:
    """Students alone are in it. Sections are not groups: of several, a sentence is made there."""
    asked.needs_group("a gradebook of Canvas")
    for line in asked.table.lines:
        name = line["student"] or f"{line['lastname']}, {line['firstname']}"
        # Above the students there are a line with the points, and maybe one about hidden grades.
        # Last comes the teacher's own view as a student, who is in no other system.
        if not line["id"] or (name == "Student, Test" and not line["sis user id"]):
            continue
        yield line, asked.user(line), asked.group, MEMBER


def _is_enrollments(header: set[str]) -> bool:
    return bool({"course_id", "section_id"} & header and {"user_id"} & header)


def _enrollments(asked: _Asked) -> _Found:
    for line in asked.table.lines:
        status, role = line["status"].lower(), line["role"].lower()
        if status not in _COUNTS:
            raise RosterError(
                f"{line.at}: '{line['status']}' is not a status of Canvas; "
                f"it is {', '.join(filter(None, _COUNTS))}."
            )
        if not _COUNTS[status] or role == "observer":  # such as parents
            continue
        course = line["course_id"] or line["section_id"]
        if not course.strip("/ "):
            raise RosterError(f"{line.at}: 'course_id' is empty, and so is 'section_id'.")
        yield (
            *(line, asked.user(line), asked.within(course)),
            MANAGER if role == "teacher" else MEMBER,
        )


# -- Moodle ----------------------------------------------------------------------------------------

_FIRST_NAME = {"first name", "vorname"}
_TEACH = {"editingteacher", "manager", "teacher", "trainer/in", "manager/in"}


def _is_participants(header: set[str]) -> bool:
    identities = {*USER_COLUMNS["email"], *USER_COLUMNS["login"], *USER_COLUMNS["number"]}
    return bool(_FIRST_NAME & header and identities & header)


def _participants(asked: _Asked) -> _Found:
    asked.needs_group("a list of Moodle's participants")
    for line in asked.table.lines:
        user = asked.user(line)
        roles = {role.strip().lower() for role in (line["roles"] or line["rollen"]).split(",")}
        role = MANAGER if roles & _TEACH else MEMBER
        yield line, user, asked.group, role
        for group in (line["groups"] or line["gruppen"]).split(","):
            if group.strip():
                yield line, user, asked.within(group), MEMBER


_COURSE = re.compile(r"course(\d+)")


def _is_upload(header: set[str]) -> bool:
    about = any(map(_COURSE.fullmatch, header)) or {"firstname", "lastname"} <= header
    return "username" in header and about


def _upload(asked: _Asked) -> _Found:
    numbers = [found[1] for found in map(_COURSE.fullmatch, asked.table.header) if found]
    if not numbers:
        asked.needs_group("an upload of users for Moodle without 'course1'")
    for line in asked.table.lines:
        if "1" in (line["deleted"], line["suspended"]):
            continue
        user = asked.user(line)
        if not numbers:
            yield line, user, asked.group, MEMBER
        for number in numbers:
            course, group = line[f"course{number}"], line[f"group{number}"]
            if not course.strip("/ ") or line[f"enrolstatus{number}"] == "1":
                continue
            role, kind = line[f"role{number}"].lower(), line[f"type{number}"]
            # By its short name there, `teacher` is one who may not edit; type 2 is one who may.
            leads = role in ("editingteacher", "manager") or (not role and kind == "2")
            yield line, user, asked.within(course), MANAGER if leads else MEMBER
            if group.strip("/ "):
                yield line, user, asked.within(course, group), MEMBER


_KINDS = (
    _OWN,
    _Kind(_is_enrollments, "user_id", lambda asked: _highest(_enrollments(asked))),
    _Kind(_is_gradebook, "login", lambda asked: _highest(_gradebook(asked))),
    _Kind(_is_upload, "username", lambda asked: _highest(_upload(asked))),
    _Kind(_is_participants, "login|email local part", lambda asked: _highest(_participants(asked))),
)
