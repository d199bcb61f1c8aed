"""The members of a group as a file for spreadsheets. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable

from .memberships import Membership

HEAD = ("user", "group", "role", "source", "since", "until", "added_by")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_members(
    rows: Iterable[tuple[Membership, int, str]], say_time: Callable[[int], str]
) -> str:
    """A line for each reason that somebody is in the group for.

    It can be read again as a roster, unless a name begins like a formula.

    Args:
        rows: a membership, since when it is there (seconds since 1970, UTC), and who has added it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for one, since, added_by in rows:
        until = "" if one.until is None else say_time(one.until)
        texts = map(plain, (one.user, one.group, one.role, one.source))
        writer.writerow([*texts, say_time(since), until, plain(added_by)])
    return out.getvalue()


def plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def file_name(group: str) -> str:
    """Of the file, for any system."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", group).strip("-.")
    return f"{name or 'group'}-members.csv"
