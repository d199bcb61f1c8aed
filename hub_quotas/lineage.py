"""The tree of groups over time: a session of long ago was charged in the tree of its day. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .policy import WHOLE_HUB

PARENT, RENAMED = "parent", "renamed"


def ever_below(
    group: str, names: Collection[str], history: Iterable[tuple[str, str, str]]
) -> set[str]:
    """The groups of `names` that may have been below a group at some time, with the group itself.

    Rather too many than too few: sessions say themselves to which groups they were charged, this
    says of which groups to look at the sessions.

    Args:
        names: all groups, as they are called now.
        history: what has ever changed in the tree, oldest first: (PARENT, group, its parent) and
            (RENAMED, old, new).
    """
    if group == WHOLE_HUB:
        return set(names)
    below: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}

    def know(name: str, parent: str) -> None:
        if parent:
            below.setdefault(parent, set()).add(name)
            above.setdefault(name, set()).add(parent)

    for name in names:
        know(name, name.rpartition("/")[0])
    for kind, name, value in history:
        know(name, name.rpartition("/")[0])
        if kind == PARENT:
            know(name, value)
            know(value, value.rpartition("/")[0])
        else:
            for parent in tuple(above.get(name, ())):
                know(value, parent)
            for child in tuple(below.get(name, ())):
                know(child, value)
    found, todo = {group}, [group]
    while todo:
        new = below.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found & {*names, group}
