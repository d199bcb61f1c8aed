"""The price book: what a unit costs, from which day on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from hub_groups.words import _

from .limits import STORAGE, PolicyError, mapping
from .quantities import AMOUNT, HOUR, QuantityError, did_you_mean, parse_money, resource

PRICED = {"cpu": 1000, "memory": 2**30, STORAGE: 2**30}
"""How many of the smallest unit a price is for: a core, a GiB; one of anything else."""

HOURS_OF_STORAGE = 730
"""For so many hours is the price of storage: a month, as clouds count it (a year's twelfth)."""


@dataclass(frozen=True)
class Price:
    """Prices from a day on.

    Attributes:
        since: the first day, in the hub's time zone.
        per_hour: micro-currency for an hour of a core, of a GiB, of one of anything else.
        storage: micro-currency for a GiB of storage, for HOURS_OF_STORAGE.
    """

    since: date
    per_hour: Mapping[str, int] = field(default_factory=dict)
    storage: int = 0


def price_on(book: Iterable[Price], day: date) -> Price:
    """What holds on a day; without prices where it is before all of them."""
    valid = (price for price in book if price.since <= day)
    return max(valid, key=lambda price: price.since, default=Price(day))


def parse_prices(entries: Any) -> tuple[Price, ...]:
    """The price book: a list of `{since: DAY, RESOURCE: PRICE}`. Raises PolicyError."""
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise PolicyError(
            ("prices",),
            _("write a list: {example}").format(example="- {since: 2026-01-01, cpu: 0.04}"),
        )
    prices: dict[date, Price] = {}
    for number, entry in enumerate(entries, 1):
        place = ("prices", str(number))
        values = dict(mapping(entry, place))
        since = _day(values.pop("since", None), (*place, "since"))
        if since in prices:
            raise PolicyError(
                (*place, "since"),
                _("there are prices from {since} on already.").format(since=since),
            )
        amounts = {str(n): _price(str(n), value, place) for n, value in values.items()}
        storage = amounts.pop(STORAGE, 0)
        prices[since] = Price(since, amounts, storage)
    return tuple(price for _, price in sorted(prices.items()))


def print_prices(prices: Iterable[Price]) -> list[dict[str, Any]]:
    cost = resource("cost")
    assert cost
    found = []
    for price in prices:
        amounts = {**price.per_hour, **({STORAGE: price.storage} if price.storage else {})}
        printed = {name: cost.format(amount * HOUR) for name, amount in amounts.items()}
        found.append({"since": price.since.isoformat(), **printed})
    return found


def _price(name: str, value: object, place: tuple[str, ...]) -> int:
    known = resource(name)
    if known is None or known.kind != AMOUNT:
        hint = did_you_mean(name, ["cpu", "memory", "gpu", "servers", "storage", "since"])
        raise PolicyError((*place, name), _("there is no price for that.{hint}").format(hint=hint))
    try:
        return parse_money(str(value)) // HOUR
    except QuantityError as error:
        raise PolicyError((*place, name), str(error)) from None


def _day(value: object, place: tuple[str, ...]) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise PolicyError(
            place, _("'{value}' is not a day; write 2026-01-01.").format(value=value)
        ) from None
