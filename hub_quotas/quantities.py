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

from hub_groups.words import _, ngettext

HOUR = 3_600_000_000
"""Microseconds."""

AMOUNT = "amount"
"""In use at once, and so what a cap limits."""
TIME = "time"
"""Used over time, and so what a budget limits."""
DURATION = "duration"
"""How long a server may go on."""

_COUNTS = re.compile(r"[0-9]{1,18}")  # what databases hold; int() and isdigit() take much more
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
_BYTE = "bytes"
_LEAST_MEANT = _BYTES["M"]
_FEW = 100
"""Up to so many are gibibytes that somebody has left without a unit, more are mebibytes."""


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

    def parse_meant(self, text: str) -> int:
        """The same of what people write as a limit: `8` bytes are a unit that was forgotten.

        Raises:
            QuantityError: it can't be read, or is less than anybody means.
        """
        amount = self.parse(text)
        if self.unit == _BYTE and 0 < amount < _LEAST_MEANT:
            raise QuantityError(_too_little(text, amount))
        return amount


def parse_cpu(text: str) -> int:
    """Milli-cores in `2`, `0.5`, `500m` or `2 cores` (Kubernetes' notation)."""
    wrong = _("'{text}' is not an amount of CPU; write cores: 2, 0.5 or 500m.").format(text=text)
    match = _match(_CPU, text, wrong)
    factor = 1 if (match["unit"] or "").lower() == "m" else 1000
    why = _(
        "'{text}' is too fine: a CPU amount has at most three decimals (500m is the same as 0.5)."
    ).format(text=text)
    return _whole(match["number"], factor, text, why)


def parse_memory(text: str) -> int:
    """Bytes in `8G`, `8Gi`, `512M` or plain bytes.

    `G` is 1024³, as in JupyterHub's own limits, and so the same as `Gi`.
    """
    wrong = _("'{text}' is not an amount of bytes; write 8G, 512M or plain bytes.").format(
        text=text
    )
    match = _match(_BYTES_TEXT, text, wrong)
    unit = match["unit"].upper().removesuffix("B").removesuffix("I")
    why = _("'{text}' is too fine: that is not a whole byte.").format(text=text)
    return _whole(match["number"], _BYTES[unit], text, why)


def _too_little(text: str, amount: int) -> str:
    number = _match(_BYTES_TEXT, text, "")["number"]
    unit = "G" if Decimal(number) <= _FEW else "M"
    right = f"{number}{unit}"
    return _("{amount} is too little to be meant: write {right} for {said}.").format(
        amount=_say_memory(amount), right=right, said=_say_memory(parse_memory(right))
    )


def parse_count(text: str) -> int:
    """A whole number."""
    wrong = _("'{text}' is not a whole number; write 0, 1, 2 and so on.").format(text=text)
    match = _match(_COUNT, text, wrong)
    return _whole(match["number"], 1, text, "")


def parse_duration(text: str) -> int:
    """Microseconds in `8h`, `30m` (minutes), `2d`."""
    wrong = _("'{text}' is not a duration; write 30m, 8h or 2d.").format(text=text)
    match = _match(_DURATION, text, wrong)
    factor = _DURATIONS[match["unit"][0].lower()]
    why = _("'{text}' is too fine: a duration is counted in microseconds.").format(text=text)
    return _whole(match["number"], factor, text, why)


def _hours(per_unit: int, what: Callable[[], str]) -> Callable[[str], int]:
    """A parser of hours of something, of which one is `per_unit` smallest units.

    Args:
        what: how they are called, in the language of whoever reads it.
    """

    def parse(text: str) -> int:
        wrong = _("'{text}' is not a number of {hours}; write 40 or 0.5.")
        match = _match(_HOURS, text, wrong.format(text=text, hours=what()))
        why = _("'{text}' is too fine: {hours} have fewer decimals.")
        why = why.format(text=text, hours=what())
        return _whole(match["number"], per_unit * HOUR, text, why, _LARGEST * HOUR)

    parse.__doc__ = f"A number of {what()}, such as `40` or `0.5`."
    return parse


def parse_money(text: str) -> int:
    """An amount in the hub's currency, such as `2000` or `0.25`."""
    wrong = _("'{text}' is not an amount of money; write the plain number: 2000 or 0.25.").format(
        text=text
    )
    match = _match(_MONEY, text, wrong)
    why = _("'{text}' is too fine: money has fewer decimals.").format(text=text)
    return _whole(match["number"], 10**6 * HOUR, text, why, _LARGEST * HOUR)


def _match(pattern: re.Pattern[str], text: str, wrong: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip())
    if not match:
        raise QuantityError(wrong)
    return match


def _whole(number: str, factor: int, text: str, why: str, largest: int = _LARGEST) -> int:
    with localcontext() as context:
        context.prec = 80
        amount = Decimal(number) * factor
        if amount > largest:
            raise QuantityError(_("'{text}' is too large.").format(text=text))
        if amount != amount.to_integral_value():
            raise QuantityError(why)
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
    one_or_more = 1 if milli == 1000 else 2  # 0.5 cores
    return ngettext("{n} core", "{n} cores", one_or_more).format(n=format_cpu(milli))


def _say_memory(amount: int) -> str:
    for unit, name in (("T", "TiB"), ("G", "GiB"), ("M", "MiB"), ("K", "KiB")):
        if abs(amount) >= _BYTES[unit]:
            return f"{_about(amount, _BYTES[unit])} {name}"
    return ngettext("{n} byte", "{n} bytes", amount).format(n=amount) if amount else "0 GiB"


def say_duration(amount: int) -> str:
    """`45 min`, `2 h 10 min`, `3 days`: rounded down."""
    minutes = amount // _DURATIONS["m"]
    if minutes < 60:
        return _("{n} min").format(n=minutes)
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        if rest:
            return _("{hours} h {minutes} min").format(hours=hours, minutes=rest)
        return _("{n} h").format(n=hours)
    return _("{n} days").format(n=minutes // (24 * 60))


def say_ago(amount: int) -> str:
    """`45 min ago`, `3 days ago`: so long before now."""
    days = amount // _DURATIONS["d"]
    if days > 1:
        return _("{n} days ago").format(n=days)
    return _("{time} ago").format(time=say_duration(amount))


def _say_servers(count: int) -> str:
    return ngettext("{n} server", "{n} servers", count).format(n=count)


def _say_gpus(count: int) -> str:
    return ngettext("{n} GPU", "{n} GPUs", count).format(n=count)


def _counted(name: str, unit: str, say: Callable[[int], str]) -> Resource:
    return Resource(name, AMOUNT, unit, name, parse_count, str, say)


def _time(name: str, curve: str, per_unit: int, unit: str, what: Callable[[], str]) -> Resource:
    def say(amount: int) -> str:
        number = _about(amount, per_unit * HOUR)
        return _("{n} {hours}").format(n=number, hours=what())

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
        Resource("memory", AMOUNT, _BYTE, "memory", parse_memory, format_memory, _say_memory),
        _counted("gpu", "GPUs", _say_gpus),
        _counted("servers", "servers", _say_servers),
        Resource("storage", AMOUNT, _BYTE, "storage", parse_memory, format_memory, _say_memory),
        _time("cpu-hours", "cpu", 1000, "milli-core-microseconds", lambda: _("CPU-hours")),
        _time("memory-hours", "memory", 2**30, "byte-microseconds", lambda: _("GiB-hours")),
        _time("gpu-hours", "gpu", 1, "GPU-microseconds", lambda: _("GPU-hours")),
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

        def hours() -> str:
            return _("{device}-hours").format(device=curve)

        return _time(name, curve, 1, "device-microseconds", hours)
    return _counted(name, name, lambda count: f"{count} {name}")


def whole(text: str) -> int | None:
    """A number that counts something of ours, as addresses and forms say it: a few digits; None for
    anything else."""
    return int(text) if _COUNTS.fullmatch(text) else None


def did_you_mean(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return say_hint(close[0]) if close else ""


def say_hint(word: str) -> str:
    """After what was wrong: the word that was meant, perhaps."""
    return _(" Did you mean '{word}'?").format(word=word)
