"""The file that `sacctmgr dump` writes and `sacctmgr load` reads: its lines, options and amounts.

Pure. A line is `KIND - 'NAME':OPTION=VALUE:OPTION='VALUE'`; an account or user belongs to the
`Parent` that was named last. Options count without regard to case, and have several names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ..quantities import format_duration, format_memory
from .report import SourceError

CLUSTER, PARENT, ACCOUNT, USER, QOS = "Cluster", "Parent", "Account", "User", "QOS"
KINDS = (CLUSTER, PARENT, ACCOUNT, USER, QOS)

_KIND = re.compile(rf"({'|'.join(KINDS)})\s*-\s*(.*)", re.IGNORECASE)
_PART = re.compile(r"""(?:'[^']*'|"[^"]*"|(?<=gres/gpu):(?=[\w.-]+=[\d-])|[^:'"])+""")
_OPTION = re.compile(r"([A-Za-z]+)\s*([+-]?)=(.*)", re.DOTALL)
_MEMORY = re.compile(r"(\d{1,15})([KMGTP]?)B?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,5})-)?(\d{1,6})(?::(\d{1,2}))?(?::(\d{1,2}))?")
_MIB = {unit: Decimal(2) ** power for unit, power in zip("KMGTP", range(-10, 31, 10), strict=True)}
_SECOND = 10**6


@dataclass(frozen=True)
class Option:
    """One `NAME=VALUE` of a line; `how` is + or - where it changes a list."""

    name: str
    value: str
    how: str = ""

    @property
    def text(self) -> str:
        return f"{self.name}{self.how}={self.value}"

    @property
    def is_cleared(self) -> bool:
        """-1 takes a limit away."""
        return self.value.strip() == "-1"


@dataclass(frozen=True)
class Line:
    """One line that says something."""

    number: int
    kind: str
    name: str
    options: tuple[Option, ...] = ()


def read_dump(text: str) -> list[Line]:
    """The lines of a dump.

    Raises:
        SourceError: for the first that can't be read.
    """
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.strip() and not raw.lstrip().startswith("#"):
            lines.append(_line(number, raw.strip()))
    clusters = [line for line in lines if line.kind == CLUSTER]
    if not clusters:
        raise SourceError("there is no line such as Cluster - 'name'; write what sacctmgr dumps.")
    if len(clusters) > 1:
        why = f"a second cluster begins here, {clusters[1].name}; make a file of each."
        raise SourceError(why, line=clusters[1].number)
    return lines


def _line(number: int, text: str) -> Line:
    match = _KIND.fullmatch(text)
    if not match:
        kinds = ", ".join(KINDS[:-1])
        why = f"'{text[:40]}' is no line of a dump, which is {kinds} or {QOS}, then - 'name'."
        raise SourceError(why, line=number)
    kind = next(kind for kind in KINDS if kind.lower() == match[1].lower())
    parts = list(_parts(number, match[2]))
    name = _bare(parts[0]) if parts else ""
    if not name:
        raise SourceError(f"{kind} has no name; write {kind} - 'name'.", line=number)
    options = []
    for part in parts[1:]:
        option = _OPTION.fullmatch(part.strip())
        if not option:
            why = f"'{part.strip()[:40]}' is no option, which is written NAME=VALUE."
            raise SourceError(why, line=number)
        options.append(Option(option[1], _bare(option[3]), option[2]))
    return Line(number, kind, name, tuple(options))


def _parts(number: int, text: str) -> Iterator[str]:
    """What colons part that are not in quotes, nor before the type of a GPU."""
    at = 0
    while at < len(text):
        if text[at] == ":":
            at += 1
            continue
        match = _PART.match(text, at)
        if not match:
            raise SourceError("a quote is opened here, and not closed.", line=number)
        yield match[0]
        at = match.end()


def _bare(text: str) -> str:
    return text.strip().strip("'\"").strip()


# -- amounts ---------------------------------------------------------------------------------------


_NO_TRES = {
    "node": "servers share nodes, and are not counted in them.",
    "billing": "its weights are of partitions; here prices say what a server costs: group.cost.",
    "energy": "energy is not measured.",
    "vmem": "virtual memory is not measured.",
    "pages": "pages are not measured.",
    "fs": "use of file systems over time is not measured; storage has member.storage.",
    "bb": "there are no burst buffers.",
    "license": "licences are not counted.",
    "ic": "interconnects are not counted.",
}


def read_tres(value: str) -> Iterator[tuple[str, str, str]]:
    """The resources in `cpu=4,mem=8G,gres/gpu=2`: our name, the amount as it is written there, and
    why it can't be said, where it can't; then the name is the one that it has there."""
    for item in value.split(","):
        name, equals, amount = item.strip().rpartition("=")
        if not equals:
            yield item.strip(), "", "it is not written NAME=AMOUNT."
            continue
        lower = name.strip().lower()
        first = lower.partition("/")[0].removesuffix("s")
        if lower in ("cpu", "cpus"):
            yield "cpu", amount, ""
        elif lower in ("mem", "memory"):
            yield "memory", amount, ""
        elif lower == "gres/gpu":
            yield "gpu", amount, ""
        elif lower.startswith("gres/"):
            why = "it does not say which resource of Kubernetes that is, such as nvidia.com/gpu."
            yield name, amount, why
        else:
            yield name, amount, _NO_TRES.get(first, "it is not known what that is.")


def say_amount(resource: str, text: str) -> str:
    """An amount as a policy has it: cores and GPUs as they are, memory from MiB.

    Raises:
        ValueError: it can't be read.
    """
    if resource == "memory":
        return format_memory(int(_mebibytes(text) * 2**20))
    return str(_count(text))


def say_hours(resource: str, text: str) -> tuple[str, bool]:
    """Hours of a resource from minutes; and whether that is rounded, to thousandths.

    Raises:
        ValueError: it can't be read.
    """
    minutes = _mebibytes(text) / 1024 if resource == "memory" else Decimal(_count(text))
    hours = minutes / 60
    rounded = round(hours, 3)
    return f"{rounded.normalize():f}", rounded != hours


def say_wall(text: str) -> str:
    """A time as Slurm writes it: minutes, `HH:MM:SS`, `D-HH`, `D-HH:MM`.

    Raises:
        ValueError: it can't be read.
    """
    match = _CLOCK.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    days, first, second, third = (int(part) if part else 0 for part in match.groups())
    if match[1]:
        seconds = ((days * 24 + first) * 60 + second) * 60 + third
    elif match[4]:
        seconds = (first * 60 + second) * 60 + third
    else:  # minutes, or minutes and seconds
        seconds = first * 60 + second
    if not seconds:
        raise ValueError(text)
    return format_duration(seconds * _SECOND)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,15}", text.strip()):
        raise ValueError(text)
    return int(text)


def _mebibytes(text: str) -> Decimal:
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    return int(match[1]) * _MIB[match[2].upper() or "M"]
