"""The groups of a policy and a hub as a tree, in the order in which people read it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy


@dataclass(frozen=True)
class Branch:
    """One group in the tree.

    Attributes:
        depth: 0 for one that is below no other.
        below: how many groups are below it, at any depth.
    """

    name: str
    depth: int
    below: int

    @property
    def short(self) -> str:
        """Its name without what its parents' says already."""
        return self.name.rpartition("/")[2] if self.depth else self.name


def branches(policy: Policy, names: Iterable[str]) -> list[Branch]:
    """Groups and all above them, each before those below it, the catch-all last."""
    known = {above for name in names for above in policy.path(name)} - {WHOLE_HUB}
    paths = {name: policy.path(name)[-2::-1] for name in known}
    below = Counter(above for path in paths.values() for above in path[:-1])
    ordered = sorted(known, key=lambda name: (paths[name][0] == DEFAULT_GROUP, paths[name]))
    return [Branch(name, len(paths[name]) - 1, below[name]) for name in ordered]


def never_seen(policy: Policy, known: Iterable[str]) -> list[str]:
    """Groups that a policy names though nobody was ever in them, nor in one below: of a term that
    has yet to begin, or written wrongly.

    Args:
        known: all groups that have ever had somebody.
    """
    seen = {above for name in known for above in policy.path(name)}
    return sorted(policy.groups.keys() - seen - {DEFAULT_GROUP, WHOLE_HUB})


def under(policy: Policy, name: str, top: str) -> bool:
    """Whether a group is `top`, or below it."""
    return top in policy.path(name)
