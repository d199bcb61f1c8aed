"""Addresses on a hub: ours, those of its spawn page, and those of nbgitpuller. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from hub_groups.words import _
from hub_quotas.limits import CHARGED_GROUP

from .addresses import LaunchError
from .form_parts import Read, base_of, from_query, pulled, read_pulled, to_query, without
from .launch import (
    LAB,
    URL,
    Content,
    Environment,
    Launch,
    Target,
    environment_of,
)
from .tokens import said_by

OPEN = "services/launch/open"
"""Where a hub resolves links that say themselves what they launch."""
CHOOSE = "services/launch/choose"
"""Where a hub asks a reader on which hub to open something, and remembers it."""
SIGNED = "signed"
"""The field of such a link that holds a signed token, and is then the only one."""

# -- a hub with share_links ------------------------------------------------------------------------

_OPTION, _FIELD = "option-", "field-"
# What a form adds, and newsletters and social networks to each address that they pass on.
_NOT_OURS = re.compile(r"_xsrf|utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|_hs\w+|igshid")


def write_resolved(launch: Launch, hub: str) -> str:
    return f"{hub}{OPEN}?{to_query(_resolved_pairs(launch))}".rstrip("?")


def write_choose(launch: Launch, hub: str) -> str:
    return write_resolved(launch, hub).replace(f"{hub}{OPEN}", f"{hub}{CHOOSE}", 1)


def read_choose(parts: SplitResult) -> Read | None:
    hub = base_of(parts, CHOOSE)
    return Read("choose", hub, read_resolved_query(parts.query)) if hub else None


def _resolved_pairs(launch: Launch) -> dict[str, str]:
    content, env, target = launch.content, launch.environment, launch.target
    return {
        "repo": content.repository if content else "",
        "ref": content.ref if content else "",
        "folder": content.folder if content else "",
        "file": target.file,
        "path": target.path,
        "cell": target.cell,
        "view": "" if target.view in (LAB, URL) else target.view,
        "profile": env.profile,
        **{_OPTION + name: _visible(value) for name, value in env.options.items()},
        **{_FIELD + name: _visible(value) for name, value in env.fields.items()},
        "image": env.image,
        "env-repo": env.repository,
        "env-ref": env.ref,
        "group": launch.group,
        "join": "1" if launch.join else "",
    }


def _visible(value: str) -> str:
    """A query has nothing that is empty: what is, or only spaces, has one more."""
    return value if value.strip(" ") else f"{value} "


def _as_it_was(value: str) -> str:
    return value if value.strip(" ") else value[:-1]


def read_resolved_query(query: str) -> Launch:
    """What the query of a link to OPEN says.

    Raises:
        LaunchError: it says something that can't work, or nothing that is known.
    """
    pairs = from_query(query)
    options, fields = (
        {
            name.removeprefix(start): _as_it_was(pairs[name])
            for name in list(pairs)
            if name.startswith(start)
        }
        for start in (_OPTION, _FIELD)
    )
    plain = {
        name: value
        for name, value in pairs.items()
        if not name.startswith((_OPTION, _FIELD)) and not _NOT_OURS.fullmatch(name)
    }
    known = set(_resolved_pairs(Launch()))
    for name in plain:
        if name not in known:
            raise LaunchError(
                _("A launch link has no '{name}'; there are {known}.").format(
                    name=name, known=", ".join([*sorted(known), "option-…", "field-…"])
                )
            )
    said = {name: plain.get(name, "") for name in known}
    if (said["ref"] or said["folder"]) and not said["repo"]:
        raise LaunchError(
            _("The branch '{branch}' needs a repository that it is in.").format(
                branch=said["ref"] or said["folder"]
            )
        )
    content = Content(said["repo"], said["ref"], said["folder"]) if said["repo"] else None
    view = said["view"] or (URL if said["path"] else LAB)
    return Launch(
        content=content,
        environment=Environment(
            said["profile"], options, fields, said["image"], said["env-repo"], said["env-ref"]
        ),
        group=said["group"],
        join=said["join"] not in ("", "0"),
        target=Target(view, said["file"], said["path"], said["cell"]),
    )


def read_resolved(parts: SplitResult) -> Read | None:
    hub = base_of(parts, OPEN)
    if not hub:
        return None
    if token := from_query(parts.query).get(SIGNED):
        return Read("resolved", hub, said_by(token))
    return Read("resolved", hub, read_resolved_query(parts.query))


# -- any hub: the spawn page -----------------------------------------------------------------------


def writes_spawn(prefix: str) -> Callable[[Launch, str], str]:
    def write(launch: Launch, hub: str) -> str:
        options = {prefix + name: value for name, value in launch.environment.form.items()}
        if launch.group:
            options[prefix + CHARGED_GROUP] = launch.group
        after = f"{urlsplit(hub).path}hub/user-redirect/{pulled(launch)}"
        query = urlencode({**options, "next": after}, quote_via=quote)
        return f"{hub}hub/spawn?{query}"

    return write


def reads_spawn(form: str) -> Callable[[SplitResult], Read | None]:
    def read(parts: SplitResult) -> Read | None:
        hub = base_of(parts, "hub/spawn")
        if not hub:
            return None
        pairs = from_query(parts.query)
        after = pairs.pop("next", "")
        prefixed = {k[4:]: v for k, v in pairs.items() if k.startswith("opt-")}
        if bool(prefixed) != (form == "spawn") and pairs:
            return None
        pairs = prefixed or pairs  # a hub that sees both ignores those without
        start = f"{urlsplit(hub).path}hub/user-redirect/"
        if after and not after.startswith(start):
            raise LaunchError(
                _("This link leads to {next} after the start, which is no file.").format(next=after)
            )
        group = pairs.pop(CHARGED_GROUP, "")
        pairs.pop("display_name", None)
        content, target = read_pulled(after.removeprefix(start)) if after else (None, Target())
        return Read(form, hub, Launch(content, environment_of(pairs), group, target=target))

    return read


def carries_spawn(launch: Launch) -> Launch:
    return without(launch, environment=True, group=True)


# -- any hub with nbgitpuller ----------------------------------------------------------------------


def write_nbgitpuller(launch: Launch, hub: str) -> str:
    if launch.content is None:
        raise LaunchError(_("A link of nbgitpuller needs a repository."))
    return f"{hub}hub/user-redirect/{pulled(launch)}"


def read_nbgitpuller(parts: SplitResult) -> Read | None:
    hub = base_of(parts, "hub/user-redirect/git-pull")
    if not hub:
        return None
    content, target = read_pulled(f"git-pull?{parts.query}")
    return Read("nbgitpuller", hub, Launch(content, target=target))


def carries_nbgitpuller(launch: Launch) -> Launch:
    return without(launch, environment=False, group=False)
