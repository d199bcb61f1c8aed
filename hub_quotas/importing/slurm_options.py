"""What each option of a dump limits, in our words; and why, where it limits nothing here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..limits import GROUP, MEMBER, SERVER, PolicyError, parse_limit
from .report import ASIDE, CANNOT
from .slurm_dump import Option, read_tres, say_amount, say_hours, say_wall

_TRES, _MINUTES, _JOBS, _WALL = "tres", "minutes", "jobs", "wall"

OPTIONS: dict[str, tuple[str, str]] = {
    "grptres": (GROUP, _TRES),
    "grptresmins": (GROUP, _MINUTES),
    "grpjobs": (GROUP, _JOBS),
    "grpjob": (GROUP, _JOBS),
    "maxtresperjob": (SERVER, _TRES),
    "maxtrespj": (SERVER, _TRES),
    "maxtres": (SERVER, _TRES),
    "maxwalldurationperjob": (SERVER, _WALL),
    "maxwallduration": (SERVER, _WALL),
    "maxwall": (SERVER, _WALL),
    "maxwallpj": (SERVER, _WALL),
    "maxjobs": (MEMBER, _JOBS),
    "maxjobsperuser": (MEMBER, _JOBS),
    "maxjobspu": (MEMBER, _JOBS),
    "maxtresperuser": (MEMBER, _TRES),
    "maxtrespu": (MEMBER, _TRES),
    "maxtresperaccount": (GROUP, _TRES),
    "maxtrespa": (GROUP, _TRES),
    "maxjobsperaccount": (GROUP, _JOBS),
    "maxjobspa": (GROUP, _JOBS),
}
"""What each is a limit of, and how it is written."""

_SINGLE = {
    "grpcpus": ("GrpTRES", "cpu"),
    "grpmem": ("GrpTRES", "mem"),
    "grpnodes": ("GrpTRES", "node"),
    "grpcpumins": ("GrpTRESMins", "cpu"),
    "maxcpus": ("MaxTRES", "cpu"),
    "maxcpusperjob": ("MaxTRES", "cpu"),
    "maxcpusperuser": ("MaxTRESPerUser", "cpu"),
    "maxnodes": ("MaxTRES", "node"),
    "maxnodesperjob": ("MaxTRES", "node"),
    "maxnodesperuser": ("MaxTRESPerUser", "node"),
}
"""What options of one resource are called since Slurm 15.08."""

_QUEUE = "there is no queue: what does not fit is refused at once."
_NO_SINGLE_JOB = "what one server uses over time has no limit, but how long it lives: MaxWall."
_NO_LIMIT_OF_RUNNING = "what running servers will still use is not foreseen; when budgets end is."
_CANNOT = {
    **dict.fromkeys(
        ("fairshare", "shares", "priority", "minpriothresh", "minpriothreshold"), _QUEUE
    ),
    **dict.fromkeys(("grpsubmitjobs", "maxsubmitjobs", "maxsubmit", "grpsubmit"), _QUEUE),
    **dict.fromkeys(("maxsubmitjobsperuser", "maxsubmitjobsperaccount"), _QUEUE),
    **dict.fromkeys(("grpjobsaccrue", "maxjobsaccrue"), _QUEUE),
    **dict.fromkeys(("maxjobsaccrueperuser", "maxjobsaccrueperaccount"), _QUEUE),
    **dict.fromkeys(("preempt", "preemptmode", "preemptexempttime", "gracetime"), _QUEUE),
    **dict.fromkeys(("maxtresmins", "maxtresminsperjob", "maxcpumins"), _NO_SINGLE_JOB),
    **dict.fromkeys(("grptresrunmins", "grpcpurunmins", "maxtresrunmins"), _NO_LIMIT_OF_RUNNING),
    **dict.fromkeys(
        ("maxtresrunminsperuser", "maxtresrunminsperaccount", "maxcpurunmins"), _NO_LIMIT_OF_RUNNING
    ),
    "grpwall": "hours of servers have no limit, but those of their CPUs, memory and GPUs.",
    "maxtrespernode": "a server is on one node; what a node has is Kubernetes' own.",
    "mintresperjob": "a server has no least size.",
    "flags": "what flags a QOS has is no limit.",
    "usagefactor": "an hour counts as an hour; prices can differ.",
    "usagethreshold": _QUEUE,
    "limitfactor": "a limit counts as it is written.",
    "wckeys": "there are no WCKeys; a group below is what a member can charge instead.",
    "wckey": "there are no WCKeys; a group below is what a member can charge instead.",
    "defaultwckey": "there are no WCKeys; a group below is what a member can charge instead.",
}
_ASIDE = ("description", "organization", "classification", "comment", "federation", "rpc")


@dataclass(frozen=True)
class Found:
    """What an option sets: `member.servers`, `5`.

    Attributes:
        what: as it is written there.
        but: in what that differs.
    """

    key: str
    amount: str
    what: str
    but: str = ""

    @property
    def size(self) -> int:
        """The amount in the smallest unit of its resource."""
        return parse_limit("", self.key, self.amount).amount


@dataclass(frozen=True)
class Unsaid:
    """What sets nothing: ASIDE or CANNOT, and why."""

    kind: str
    what: str
    why: str


def read_option(option: Option, window: str) -> Iterator[Found | Unsaid]:
    """What one option sets; nothing for one that nobody knows.

    Args:
        window: of budgets; empty for none.
    """
    name, what = option.name.lower(), option.text
    if name in _SINGLE:
        family, tres = _SINGLE[name]
        name, option = family.lower(), Option(family, f"{tres}={option.value}")
    if option.value.rpartition("=")[2].strip() == "-1" and "," not in option.value:
        yield Unsaid(ASIDE, what, "-1 is no limit.")
    elif name in _ASIDE:
        yield Unsaid(ASIDE, what, "no limit.")
    elif name in _CANNOT:
        yield Unsaid(CANNOT, what, _CANNOT[name])
    elif name in OPTIONS:
        for found in _amounts(*OPTIONS[name], option, what, window):
            yield _sayable(found)


def _sayable(found: Found | Unsaid) -> Found | Unsaid:
    if isinstance(found, Found):
        try:
            parse_limit("", found.key, found.amount)
        except PolicyError as error:
            return Unsaid(CANNOT, found.what, error.why)
    return found


def _amounts(
    scope: str, kind: str, option: Option, what: str, window: str
) -> Iterator[Found | Unsaid]:
    value = option.value
    try:
        if kind == _JOBS:
            yield Found(f"{scope}.servers", say_amount("servers", value), what)
        elif kind == _WALL:
            yield Found(f"{scope}.lifetime", say_wall(value), what)
    except ValueError:
        yield Unsaid(CANNOT, what, f"'{value[:40]}' is no amount of that.")
    if kind in (_JOBS, _WALL):
        return
    for resource, amount, why in read_tres(value):
        item = f"{option.name}={resource}={amount}"
        if why or amount.strip() == "-1":
            yield Unsaid(CANNOT if why else ASIDE, item, why or "-1 is no limit.")
            continue
        item = item.replace("=memory=", "=mem=").replace("=gpu=", "=gres/gpu=")
        try:
            if kind == _MINUTES:
                yield _budget(scope, resource, amount, item, window)
            else:
                yield Found(f"{scope}.{resource}", say_amount(resource, amount), item)
        except ValueError:
            yield Unsaid(CANNOT, item, f"'{amount[:40]}' is no amount of that.")


def _budget(scope: str, resource: str, amount: str, item: str, window: str) -> Found | Unsaid:
    hours, rounded = say_hours(resource, amount)
    if not window:
        why = (
            "what of past use still counts stands in slurm.conf and not in the dump; with "
            f"--window month it is {scope}.{resource}-hours: {hours} per month."
        )
        return Unsaid(CANNOT, item, why)
    but = "there past use fades by half-life, or counts until it is reset."
    but = f"rounded, and {but}" if rounded else but
    return Found(f"{scope}.{resource}-hours", f"{hours} per {window}", item, but)
