"""The resources that limits are about, and how people write amounts of them. Pure.

Amounts are integers of each resource's smallest unit. What is in use at once is counted in
milli-cores, bytes, servers, devices and micro-currency per hour. What is used over time is that
times microseconds, exactly.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

HOUR = 3_600_000_000
"""Microseconds."""

AMOUNT = "amount"
"""In use at once, and so what a cap limits."""
TIME = "time"
"""Used over time, and so what a budget limits."""
DURATION = "duration"
"""How long a server may go on."""

_NUMBER = r"(?P<number>\d+(?:\.\d+)?|\.\d+)"
_CPU = re.compile(rf"{_NUMBER}\s*(?P<unit>m|cores?|cpus?)?", re.IGNORECASE)
_BYTES_TEXT = re.compile(rf"{_NUMBER}\s*(?P<unit>[KMGT]?i?B?)", re.IGNORECASE)
_COUNT = re.compile(r"(?P<number>\d+)\s*(?:servers?|gpus?)?", re.IGNORECASE)
_HOURS = re.compile(rf"{_NUMBER}\s*(?:(?:[a-z./]+-)?(?:h|hours?))?", re.IGNORECASE)
_MONEY = re.compile(rf"(?:[€$£]\s*)?{_NUMBER}(?:\s*(?:[€$£]|[A-Z]{{3}}))?")
_DURATION = re.compile(rf"{_NUMBER}\s*(?P<unit>s|m|min|h|hours?|d|days?)", re.IGNORECASE)
_EXTENDED = re.compile(
    r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
)
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DURATIONS = {"s": HOUR // 3600, "m": HOUR // 60, "h": HOUR, "d": 24 * HOUR}
_LARGEST = 2**63 - 1


class QuantityError(ValueError):
    """An amount that can't be read; the message says what would be right."""


@dataclass(frozen=True)
class Resource:
    """Something that servers take up.

    Attributes:
        name: as in limits (`cpu`, `cpu-hours`).
        kind: AMOUNT, TIME or DURATION.
        unit: the smallest unit, in which amounts are counted.
        curve: the AMOUNT resource whose use is counted; for a TIME resource, over time.
        parse: text to an amount. Raises QuantityError.
        format: an amount to text that `parse` reads back to the same amount.
        say: an amount in a sentence.
    """

    name: str
    kind: str
    unit: str
    curve: str
    parse: Callable[[str], int]
    format: Callable[[int], str]
    say: Callable[[int], str]


def parse_cpu(text: str) -> int:
    """Milli-cores in `2`, `0.5`, `500m` or `2 cores` (Kubernetes' notation)."""
    match = _match(_CPU, text, "an amount of CPU; write cores: 2, 0.5 or 500m")
    factor = 1 if (match["unit"] or "").lower() == "m" else 1000
    why = "a CPU amount has at most three decimals (500m is the same as 0.5)"
    return _whole(match["number"], factor, text, why)


def parse_memory(text: str) -> int:
    """Bytes in `8G`, `8Gi`, `512M` or plain bytes.

    `G` is 1024³, as in JupyterHub's own limits, and so the same as `Gi`.
    """
    match = _match(_BYTES_TEXT, text, "an amount of bytes; write 8G, 512M or plain bytes")
    unit = match["unit"].upper().removesuffix("B").removesuffix("I")
    return _whole(match["number"], _BYTES[unit], text, "that is not a whole byte")


def parse_count(text: str) -> int:
    """A whole number."""
    match = _match(_COUNT, text, "a whole number; write 0, 1, 2 and so on")
    return _whole(match["number"], 1, text, "")


def parse_duration(text: str) -> int:
    """Microseconds in `8h`, `30m` (minutes), `2d`."""
    match = _match(_DURATION, text, "a duration; write 30m, 8h or 2d")
    factor = _DURATIONS[match["unit"][0].lower()]
    return _whole(match["number"], factor, text, "a duration is counted in microseconds")


def _hours(per_unit: int, what: str) -> Callable[[str], int]:
    """A parser of hours of something, of which one is `per_unit` smallest units."""

    def parse(text: str) -> int:
        match = _match(_HOURS, text, f"a number of {what}; write 40 or 0.5")
        why = f"{what} have fewer decimals"
        return _whole(match["number"], per_unit * HOUR, text, why, _LARGEST * HOUR)

    parse.__doc__ = f"A number of {what}, such as `40` or `0.5`."
    return parse


def parse_money(text: str) -> int:
    """An amount in the hub's currency, such as `2000` or `0.25`."""
    match = _match(_MONEY, text, "an amount of money; write the plain number: 2000 or 0.25")
    why = "money has fewer decimals"
    return _whole(match["number"], 10**6 * HOUR, text, why, _LARGEST * HOUR)


def _match(pattern: re.Pattern[str], text: str, right: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip())
    if not match:
        raise QuantityError(f"'{text}' is not {right}.")
    return match


def _whole(number: str, factor: int, text: str, why: str, largest: int = _LARGEST) -> int:
    with localcontext() as context:
        context.prec = 80
        amount = Decimal(number) * factor
        if amount > largest:
            raise QuantityError(f"'{text}' is too large.")
        if amount != amount.to_integral_value():
            raise QuantityError(f"'{text}' is too fine: {why}.")
        return int(amount)


def _divided(amount: int, unit: int) -> str:
    """`amount / unit` as a plain decimal, exact where it has an end."""
    with localcontext() as context:
        context.prec = 80
        return _short(Decimal(amount) / unit)


def _short(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _about(amount: int, unit: int) -> str:
    """With one decimal, for a sentence."""
    return _short(round(Decimal(amount) / unit, 1))


def format_cpu(milli: int) -> str:
    """`2`, `0.5`."""
    return _divided(milli, 1000)


def format_memory(amount: int) -> str:
    """`8G`, `1.5G`, `512M`: the largest unit in which the amount takes at most two decimals."""
    for unit in ("T", "G", "M", "K"):
        in_unit = Decimal(amount) / _BYTES[unit]
        if in_unit >= 1 and in_unit == round(in_unit, 2):
            return f"{_short(in_unit)}{unit}"
    return str(amount)


def format_duration(amount: int) -> str:
    """`8h`, `30m`, `2d`: the largest unit in which the amount is whole."""
    for unit in ("d", "h", "m"):
        if amount and amount % _DURATIONS[unit] == 0:
            return f"{amount // _DURATIONS[unit]}{unit}"
    return f"{_divided(amount, _DURATIONS['s'])}s"


def _say_cpu(milli: int) -> str:
    return f"{format_cpu(milli)} {'core' if milli == 1000 else 'cores'}"


def _say_memory(amount: int) -> str:
    for unit, name in (("T", "TiB"), ("G", "GiB"), ("M", "MiB"), ("K", "KiB")):
        if abs(amount) >= _BYTES[unit]:
            return f"{_about(amount, _BYTES[unit])} {name}"
    return f"{amount} bytes" if amount else "0 GiB"


def say_duration(amount: int) -> str:
    """`45 min`, `2 h 10 min`, `3 days`: rounded down."""
    minutes = amount // _DURATIONS["m"]
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{minutes // (24 * 60)} days"


def _counted(name: str, one: str, many: str) -> Resource:
    def say(count: int) -> str:
        return f"{count} {one if count == 1 else many}"

    return Resource(name, AMOUNT, many, name, parse_count, str, say)


def _time(name: str, curve: str, per_unit: int, unit: str, what: str) -> Resource:
    def say(amount: int) -> str:
        return f"{_about(amount, per_unit * HOUR)} {what}"

    def form(amount: int) -> str:
        return _divided(amount, per_unit * HOUR)

    return Resource(name, TIME, unit, curve, _hours(per_unit, what), form, say)


def _say_money(amount: int) -> str:
    return f"{round(Decimal(amount) / (10**6 * HOUR), 2):f}"


def _format_money(amount: int) -> str:
    return _divided(amount, 10**6 * HOUR)


COST_RATE = "micro-currency per hour"

RESOURCES = {
    resource.name: resource
    for resource in (
        Resource("cpu", AMOUNT, "milli-cores", "cpu", parse_cpu, format_cpu, _say_cpu),
        Resource("memory", AMOUNT, "bytes", "memory", parse_memory, format_memory, _say_memory),
        _counted("gpu", "GPU", "GPUs"),
        _counted("servers", "server", "servers"),
        Resource("storage", AMOUNT, "bytes", "storage", parse_memory, format_memory, _say_memory),
        _time("cpu-hours", "cpu", 1000, "milli-core-microseconds", "CPU-hours"),
        _time("memory-hours", "memory", 2**30, "byte-microseconds", "GiB-hours"),
        _time("gpu-hours", "gpu", 1, "GPU-microseconds", "GPU-hours"),
        Resource(
            "cost",
            TIME,
            f"{COST_RATE}, times microseconds",
            "cost",
            parse_money,
            _format_money,
            _say_money,
        ),
        Resource(
            "lifetime", DURATION, "microseconds", "", parse_duration, format_duration, say_duration
        ),
        Resource(
            "idle", DURATION, "microseconds", "", parse_duration, format_duration, say_duration
        ),
    )
}


@lru_cache
def resource(name: str) -> Resource | None:
    """The resource of that name: one of RESOURCES, or a Kubernetes extended resource
    (`nvidia.com/gpu`) or its hours (`nvidia.com/gpu-hours`); None for anything else."""
    if name in RESOURCES:
        return RESOURCES[name]
    if not _EXTENDED.fullmatch(name):
        return None
    if name.endswith("-hours"):
        curve = name.removesuffix("-hours")
        return _time(name, curve, 1, "device-microseconds", f"{curve}-hours")
    return _counted(name, name, name)


def did_you_mean(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
