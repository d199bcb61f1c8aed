"""The resources that limits are about, and how people write amounts of them. Pure.

Amounts are integers of each resource's smallest unit: milli-cores, bytes, servers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

_NUMBER = r"(?P<number>\d+(?:\.\d+)?|\.\d+)"
_CPU = re.compile(rf"{_NUMBER}\s*(?P<unit>m|cores?|cpus?)?", re.IGNORECASE)
_MEMORY = re.compile(rf"{_NUMBER}\s*(?P<unit>[KMGT]?i?B?)", re.IGNORECASE)
_COUNT = re.compile(r"(?P<number>\d+)\s*(?:servers?)?", re.IGNORECASE)
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LARGEST = 2**63 - 1


class QuantityError(ValueError):
    """An amount that can't be read; the message says what would be right."""


@dataclass(frozen=True)
class Resource:
    """Something that servers take up.

    Attributes:
        name: as in limits (`cpu`).
        unit: the smallest unit, in which amounts are counted.
        parse: text to an amount. Raises QuantityError.
        format: an amount to text that `parse` reads back to the same amount.
        say: an amount in a sentence.
    """

    name: str
    unit: str
    parse: Callable[[str], int]
    format: Callable[[int], str]
    say: Callable[[int], str]


def parse_cpu(text: str) -> int:
    """Milli-cores in `2`, `0.5`, `500m` or `2 cores` (Kubernetes' notation)."""
    match = _CPU.fullmatch(text.strip())
    if not match:
        raise QuantityError(f"'{text}' is not an amount of CPU; write cores: 2, 0.5 or 500m.")
    number = Decimal(match["number"])
    milli = number if (match["unit"] or "").lower() == "m" else number * 1000
    return _whole(milli, text, "a CPU amount has at most three decimals (500m is the same as 0.5)")


def parse_memory(text: str) -> int:
    """Bytes in `8G`, `8Gi`, `512M` or plain bytes.

    `G` is 1024³, as in JupyterHub's own limits, and so the same as `Gi`.
    """
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise QuantityError(f"'{text}' is not an amount of memory; write 8G, 512M or bytes.")
    unit = match["unit"].upper().removesuffix("B").removesuffix("I")
    return _whole(Decimal(match["number"]) * _BYTES[unit], text, "that is not a whole byte")


def parse_count(text: str) -> int:
    """A whole number."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise QuantityError(f"'{text}' is not a whole number; write 0, 1, 2 and so on.")
    return _whole(Decimal(match["number"]), text, "")


def _whole(amount: Decimal, text: str, why: str) -> int:
    if amount != amount.to_integral_value():
        raise QuantityError(f"'{text}' is too fine: {why}.")
    if amount > _LARGEST:
        raise QuantityError(f"'{text}' is too large.")
    return int(amount)


def format_cpu(milli: int) -> str:
    """`2`, `0.5`."""
    return _short(Decimal(milli) / 1000)


def format_memory(amount: int) -> str:
    """`8G`, `1.5G`, `512M`: the largest unit in which the amount takes at most two decimals."""
    for unit in ("T", "G", "M", "K"):
        in_unit = Decimal(amount) / _BYTES[unit]
        if in_unit >= 1 and in_unit == round(in_unit, 2):
            return f"{_short(in_unit)}{unit}"
    return str(amount)


def _short(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _say_cpu(milli: int) -> str:
    return f"{format_cpu(milli)} {'core' if milli == 1000 else 'cores'}"


def _say_memory(amount: int) -> str:
    for unit, name in (("T", "TiB"), ("G", "GiB"), ("M", "MiB"), ("K", "KiB")):
        if abs(amount) >= _BYTES[unit]:
            return f"{_short(round(Decimal(amount) / _BYTES[unit], 1))} {name}"
    return f"{amount} bytes" if amount else "0 GiB"


def _say_servers(count: int) -> str:
    return f"{count} {'server' if count == 1 else 'servers'}"


RESOURCES = {
    resource.name: resource
    for resource in (
        Resource("cpu", "milli-cores", parse_cpu, format_cpu, _say_cpu),
        Resource("memory", "bytes", parse_memory, format_memory, _say_memory),
        Resource("servers", "servers", parse_count, str, _say_servers),
    )
}


def did_you_mean(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
