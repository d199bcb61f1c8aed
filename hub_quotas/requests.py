"""What a server asks for, and what of it counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Amounts = Mapping[str, int]
"""Amounts by resource, in each resource's smallest unit; a resource that is missing is 0."""

MEASURED = ("cpu", "memory")
"""What every server takes: without a limit on it, a server could take all there is."""

GUARANTEE, LIMIT = "guarantee", "limit"

BURST = "+burst"
"""Suffix of what caps count beyond what is charged: a server with a guarantee of 1 GiB and a limit
of 4 GiB is charged `memory` 1 GiB and `memory+burst` 3 GiB."""


@dataclass(frozen=True)
class Request:
    """What a server asks for.

    Attributes:
        limits: what it can use at most; a resource for which it has no limit is missing.
        guarantees: what is kept for it (in Kubernetes: its requests).
        charged: what budgets count: the guarantee where there is one, else the limit; or the
            other way round.
        capped: what caps count, likewise; without a limit on what a server uses, no cap on
            `limit` can hold.
        clamp: whether one that asks for more than a server may have gets that much instead.
    """

    limits: Amounts
    guarantees: Amounts = field(default_factory=dict)
    charged: str = GUARANTEE
    capped: str = LIMIT
    clamp: bool = False

    def held_to(self, caps: Amounts) -> Request:
        """What it gets where each server is allowed `caps` at most.

        Where it has no limit of its own, that becomes its limit; where it asks for more, it gets
        that much if it is to be clamped, else this changes nothing and its check fails.
        """
        if not caps:
            return self
        limits, guarantees = dict(self.limits), dict(self.guarantees)
        for name, cap in caps.items():
            if self.clamp:
                if name in guarantees:
                    guarantees[name] = min(cap, guarantees[name])
                if name in limits:
                    limits[name] = min(cap, limits[name])
            if name in MEASURED and name not in limits:
                limits[name] = max(cap, guarantees.get(name, 0))
        return replace(self, limits=limits, guarantees=guarantees)

    def counted(self, name: str) -> int | None:
        """What caps count of a resource; None where it has no limit on it."""
        if self.capped == GUARANTEE and name in self.guarantees:
            return self.guarantees[name]
        return self.limits.get(name)

    @property
    def amounts(self) -> dict[str, int]:
        """What it is charged for, with what caps count beyond that."""
        first, second = self.guarantees, self.limits
        if self.charged == LIMIT:
            first, second = second, first
        found = {**second, **first}
        for name in tuple(found):
            counted = self.counted(name)
            if counted is not None and counted != found[name]:
                found[name + BURST] = counted - found[name]
        return found


def as_request(asked: Request | Amounts) -> Request:
    """A mapping stands for limits."""
    return asked if isinstance(asked, Request) else Request(asked)


def in_use(rates: Amounts, name: str) -> int:
    """What caps count of a resource, of amounts that are charged."""
    return rates.get(name, 0) + rates.get(name + BURST, 0)


def once_more(amounts: Amounts) -> Request:
    """What a server that was charged for `amounts` asked for, as far as it is counted."""
    names = [
        name for name in amounts if name not in ("servers", "cost") and not name.endswith(BURST)
    ]
    return Request(
        {name: in_use(amounts, name) for name in names}, {name: amounts[name] for name in names}
    )
