"""Class rosters: CSV text to memberships. Pure."""

from __future__ import annotations

import csv
import io

from .memberships import MEMBER, ROLES, Membership

COLUMNS = ("user", "group", "role")


class RosterError(ValueError):
    """A roster that can't be read; the message says where and what would be right."""


def parse_roster(text: str, name: str) -> tuple[Membership, ...]:
    """The memberships in a roster, each with the source `roster:NAME`.

    Args:
        text: CSV with a header line. Columns: `user`, `group`, and optionally `role`
            (`member`, the default, or `manager`). Empty lines and lines that start with `#`
            are skipped; other columns are ignored.
        name: what to call the roster in the source and in error messages (a file name).

    Raises:
        RosterError: it is not CSV; for a missing column, an empty user or group, or an unknown
            role.
    """
    try:
        return _parse(text, name)
    except csv.Error as error:
        raise RosterError(f"{name} is not CSV: {error}.") from None


def _parse(text: str, name: str) -> tuple[Membership, ...]:
    lines = io.StringIO(text.lstrip("\ufeff"), newline=None)  # whatever ends them
    rows = csv.reader(lines, skipinitialspace=True)
    header: list[str] | None = None
    found: dict[tuple[str, str], Membership] = {}
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        where = f"{name}, line {rows.line_num}"
        if header is None:
            header = [cell.lower() for cell in cells]
            missing = [column for column in ("user", "group") if column not in header]
            if missing:
                raise RosterError(
                    f"{where}: the header has no column '{missing[0]}'. "
                    f"A roster starts with a line such as: {','.join(COLUMNS)}"
                )
            continue
        values = dict(zip(header, cells, strict=False))
        user, group = values.get("user", ""), values.get("group", "").strip("/")
        role = values.get("role", "") or MEMBER
        if not user or not group:
            empty = "group" if user else "user"
            raise RosterError(f"{where}: '{empty}' is empty; each line names a user and a group.")
        if role not in ROLES:
            raise RosterError(
                f"{where}: '{role}' is not a role. A role is {' or '.join(ROLES)}, "
                f"or empty for {MEMBER}."
            )
        found[user, group] = Membership(user, group, f"roster:{name}", role)
    if header is None:
        raise RosterError(
            f"{name}: the roster is empty. It starts with a line such as: {','.join(COLUMNS)}"
        )
    return tuple(sorted(found.values()))
