"""The addresses that a launch is written as, and read from. Pure.

No form carries everything: what is written says what it leaves out. A launch that a form carries
as a whole is read back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from hub_groups.words import _

from . import hub_forms, other_forms
from .addresses import LaunchError, normal_hub
from .form_parts import Form, Read
from .launch import Launch
from .tokens import PrivateKey, sign


@dataclass(frozen=True)
class Written:
    """A link.

    Attributes:
        lost: what of the launch it does not carry, as it is named in a file: `environment.profile`.
    """

    url: str
    lost: tuple[str, ...] = ()


def write(form: str, launch: Launch, hub: str = "") -> Written:
    """A launch as an address.

    Args:
        form: one of FORMS.
        hub: the hub's address; for Binder and Colab theirs, empty for the public ones.

    Raises:
        LaunchError: the form can't say anything of use about it, or the hub's address is none.
    """
    kind = FORMS[form]
    public = {"binder": other_forms.BINDER, "colab": other_forms.COLAB}.get(form, "")
    url = kind.write(launch, normal_hub(hub or public))
    return Written(url, _difference(launch, kind.carries(launch)))


def write_signed(launch: Launch, hub: str, key: PrivateKey) -> Written:
    """A link to a hub with share_links, signed, so that it is of whoever has given that hub the
    key.

    Raises:
        LaunchError: it would be too long, or the hub's address is none.
    """
    return Written(f"{normal_hub(hub)}{hub_forms.OPEN}?{hub_forms.SIGNED}={sign(launch, key)}")


def read(url: str) -> Read:
    """What an address launches, in whichever form it is.

    Raises:
        LaunchError: it is no launch link, or one that can't work.
    """
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if known:
        for form in FORMS.values():
            if found := form.read(parts):
                return found
    raise LaunchError(_("This is no launch link that is known here: {url}").format(url=url[:200]))


def _difference(launch: Launch, carried: Launch) -> tuple[str, ...]:
    lost = []
    for one in fields(Launch):
        mine, there = getattr(launch, one.name), getattr(carried, one.name)
        if mine == there:
            continue
        if one.name in ("group", "join") or mine is None or there is None:
            lost.append(one.name)
            continue
        lost += [
            f"{one.name}.{part.name}"
            for part in fields(mine)
            if getattr(mine, part.name) != getattr(there, part.name)
        ]
    return tuple(lost)


FORMS: dict[str, Form] = {
    "resolved": Form(hub_forms.write_resolved, hub_forms.read_resolved, lambda launch: launch),
    "choose": Form(hub_forms.write_choose, hub_forms.read_choose, lambda launch: launch),
    "spawn": Form(
        hub_forms.writes_spawn("opt-"), hub_forms.reads_spawn("spawn"), hub_forms.carries_spawn
    ),
    "spawn5": Form(
        hub_forms.writes_spawn(""), hub_forms.reads_spawn("spawn5"), hub_forms.carries_spawn
    ),
    "nbgitpuller": Form(
        hub_forms.write_nbgitpuller, hub_forms.read_nbgitpuller, hub_forms.carries_nbgitpuller
    ),
    "binder": Form(other_forms.write_binder, other_forms.read_binder, other_forms.carries_binder),
    "colab": Form(other_forms.write_colab, other_forms.read_colab, other_forms.carries_colab),
}
"""`resolved` and `choose` need share_links on the hub; `spawn` JupyterHub 6, or 5 with hub_quotas;
`spawn5` JupyterHub 5."""
