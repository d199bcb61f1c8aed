"""What is said of storage: how full file systems are, and warnings to who fills them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from hub_groups.words import _

from .messages import ask_for_more, of
from .quantities import resource, say_duration
from .svg import Svg
from .watch import FALLEN

STORAGE = "storage"
"""The kind of these notices."""
SHARES = (0.8, 0.95)
"""Of a limit, at whose use people are warned."""


# -- file systems ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Something that takes up room.

    Attributes:
        kind: how it is drawn.
        amount: bytes.
        count: of directories; None where nobody counts them.
    """

    kind: str
    name: str
    amount: int
    count: int | None = None


def say_backend(name: str) -> str:
    """How limits are set on a file system, by the name that its agent gives it."""
    kind, _comma, way = name.partition(", ")
    known = {
        "simple quotas": _("limits hold (btrfs, simple quotas)"),
        "full quotas": _("limits hold, with half a minute's delay for nested subvolumes (btrfs)"),
        "without quotas": _("limits don't hold: quotas are turned off (btrfs)"),
        "measured only": _("limits are not set here, only measured ({kind})"),
        "project quotas": _("limits hold ({kind}, project quotas)"),
        "project quotas without limits": _("use is counted, but limits are turned off ({kind})"),
        "without project quotas": _("limits don't hold: project quotas are turned off ({kind})"),
        "refquota of datasets": _("limits hold (ZFS, a dataset for each home)"),
        "quotas that clients keep": _("limits hold, with some seconds' delay (CephFS)"),
    }
    return known[way].format(kind=kind.upper() if kind == "xfs" else kind) if way in known else name


def say_promise(promised: int, size: int) -> str:
    """What all limits together promise, of what there is."""
    storage = resource("storage")
    assert storage
    said, total = storage.say(promised), storage.say(size)
    if promised > size > 0:
        text = _("Limits promise {times} times what there is: {said} of {total}.")
        return text.format(times=f"{promised / size:.1f}", said=said, total=total)
    return _("Limits promise {said} of {total}.").format(said=said, total=total)


def say_silence(at: int, present: int) -> str:
    """Of an agent that was heard last at an instant (microseconds)."""
    text = _(
        "Its agent has been silent for {time}. Limits that are set go on to hold, but no change "
        "reaches this file system, and what is shown here is old. On the machine that has it, see "
        "what 'systemctl status hub-storage-agent' says, and whether this hub can be reached."
    )
    return text.format(time=say_duration(max(0, present - at)))


def level(parts: Iterable[Part], size: int, promised: int, title: str) -> Svg:
    """A file system as a bar, with a mark at what its limits promise.

    Args:
        parts: of `size`; what is free comes last and is not drawn.
        size, promised: bytes.
    """
    top = max(size, promised, 1)
    drawn, begin = [], 0.0
    for part in parts:
        width = 100 * min(part.amount, size) / top
        if part.kind != "free" and width:
            drawn.append(
                f'<rect class="level-{part.kind}" x="{begin:.2f}%" y="6" width="{width:.2f}%"'
                f' height="24"><title>{escape(part.name)}</title></rect>'
            )
        begin += width
    there, mark = 100 * size / top, 100 * promised / top
    if promised:
        drawn.append(f'<line class="level-mark" x1="{mark:.2f}%" x2="{mark:.2f}%" y1="0" y2="36"/>')
    return Svg(
        f'<svg class="level" width="100%" height="36" role="img"><title>{escape(title)}</title>'
        f'<rect class="level-size" x="0" y="6" width="{there:.2f}%" height="24"/>'
        f"{''.join(drawn)}</svg>"
    )


# -- warnings --------------------------------------------------------------------------------------


def stem_of(share: float, kind: str, mount: str, name: str) -> str:
    """What a warning is about; see `notices`."""
    return f"{STORAGE} {share:g} {kind} {mount} {name}"


@dataclass(frozen=True)
class Due:
    """What is to be told of a directory.

    Attributes:
        share: of its limit that it has passed; 0 for nothing new.
        quietly: it has come down to it: shown, and sent to nobody.
        over: stems of what is true no more.
    """

    share: float = 0
    quietly: bool = False
    over: tuple[str, ...] = ()


def due(kind: str, mount: str, name: str, used: float, told: Iterable[str]) -> Due:
    """What to tell; once, until use falls clearly below.

    Args:
        used: the share of its limit; 0 where there is none.
        told: stems of all that was told and is still true.
    """
    stems = {share: stem_of(share, kind, mount, name) for share in SHARES}
    known = set(told)
    was = {share for share, stem in stems.items() if stem in known}
    still = {share for share in was if used >= share * FALLEN}
    over = tuple(stems[share] for share in sorted(was - still))
    reached = max((share for share in SHARES if used >= share), default=0.0)
    if not reached or any(share >= reached for share in still):
        return Due(over=over)
    return Due(reached, any(share > reached for share in was), over)


def warning(
    what: str, share: float, used: int, limit: int, managers: Sequence[str], group: str
) -> str:
    """What people are told of a directory that fills up.

    Args:
        what: `Your home`.
        share: that it has passed.
        used, limit: bytes.
        managers: whom to ask for more; none for an admin.
        group: which they manage.
    """
    amounts = of("storage", used, limit)
    if used >= limit:
        said = _("{what} is full: {amounts} are used, and nothing more can be saved in it.")
    elif share == SHARES[-1]:
        said = _(
            "{what} is nearly full: {amounts} are used. When it is full, nothing more can be saved "
            "in it."
        )
    else:
        said = _("{what} has passed {share} of what it may hold: {amounts} are used.")
    said = said.format(what=what, amounts=amounts, share=f"{share:.0%}")
    counts = _("All that is in it counts, hidden files and the trash too.")
    todo = _("Delete what is not needed, and empty the trash.")
    return f"{said} {counts} {todo} {ask_for_more(managers, group)}"


def what_of(kind: str, name: str, mount: str) -> str:
    """A directory at the begin of a sentence.

    Args:
        kind: `user` or `group`.
        mount: empty where it need not be said.
    """
    if kind == "user":
        return _("Your home on {mount}").format(mount=mount) if mount else _("Your home")
    if mount:
        text = _("The shared directory of {group} on {mount}")
        return text.format(group=name, mount=mount)
    return _("The shared directory of {group}").format(group=name)
