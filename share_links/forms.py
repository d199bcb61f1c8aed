"""The addresses that a launch is written as, and read from. Pure.

No form carries everything: what is written says what it leaves out. A launch that a form carries
as a whole is read back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from hub_groups.words import _
from hub_quotas.limits import CHARGED_GROUP

from .addresses import LaunchError, normal_hub
from .launch import (
    LAB,
    RSTUDIO,
    URL,
    VSCODE,
    Content,
    Environment,
    Launch,
    Target,
    environment_of,
    target_at,
)

OPEN = "services/launch/open"
"""Where a hub resolves links that say themselves what they launch."""

BINDER = "https://mybinder.org/"
COLAB = "https://colab.research.google.com/"

_DEFAULT_REF = "HEAD"
_BINDER_HOSTS = {"gh": "https://github.com/", "gl": "https://gitlab.com/"}


@dataclass(frozen=True)
class Written:
    """A link.

    Attributes:
        lost: what of the launch it does not carry, as it is named in a file: `environment.profile`.
    """

    url: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What a link says.

    Attributes:
        form: one of FORMS.
        hub: the address of the hub, or of what else starts servers; ends with `/`.
    """

    form: str
    hub: str
    launch: Launch


@dataclass(frozen=True)
class Form:
    """One kind of address.

    Attributes:
        write: `write(launch, hub)`; raises LaunchError where nothing of use can be written.
        read: what an address says, or None for one of another kind.
        carries: what of a launch is in it.
    """

    write: Callable[[Launch, str], str]
    read: Callable[[SplitResult], Read | None]
    carries: Callable[[Launch], Launch]


def write(form: str, launch: Launch, hub: str = "") -> Written:
    """A launch as an address.

    Args:
        form: one of FORMS.
        hub: the hub's address; for Binder and Colab theirs, empty for the public ones.

    Raises:
        LaunchError: the form can't say anything of use about it, or the hub's address is none.
    """
    kind = FORMS[form]
    public = {"binder": BINDER, "colab": COLAB}.get(form, "")
    url = kind.write(launch, normal_hub(hub or public))
    return Written(url, _difference(launch, kind.carries(launch)))


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
    from dataclasses import fields

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


def _query(pairs: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in pairs.items() if value}, quote_via=quote)


def _pairs(query: str) -> dict[str, str]:
    """The first value of each name counts, as it does for the hub."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=200):
        found.setdefault(name, value)
    return found


def _base(parts: SplitResult, path: str) -> str | None:
    """The address of the hub whose `path` this is; None where it is something else."""
    if parts.path != f"/{path}" and not parts.path.endswith(f"/{path}"):
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path[: -len(path)]}"


# -- a hub with share_links ------------------------------------------------------------------------

_OPTION, _FIELD = "option-", "field-"


def _write_resolved(launch: Launch, hub: str) -> str:
    return f"{hub}{OPEN}?{_query(_resolved_pairs(launch))}".rstrip("?")


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
        **{_OPTION + name: value or " " for name, value in env.options.items()},
        **{_FIELD + name: value or " " for name, value in env.fields.items()},
        "image": env.image,
        "env-repo": env.repository,
        "env-ref": env.ref,
        "group": launch.group,
        "join": "1" if launch.join else "",
    }


def read_resolved_query(query: str) -> Launch:
    """What the query of a link to OPEN says.

    Raises:
        LaunchError: it says something that can't work, or nothing that is known.
    """
    pairs = _pairs(query)
    options, fields = (
        {
            name.removeprefix(start): "" if pairs[name] == " " else pairs[name]
            for name in list(pairs)
            if name.startswith(start)
        }
        for start in (_OPTION, _FIELD)
    )
    plain = {k: v for k, v in pairs.items() if not k.startswith((_OPTION, _FIELD))}
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


def _read_resolved(parts: SplitResult) -> Read | None:
    hub = _base(parts, OPEN)
    return Read("resolved", hub, read_resolved_query(parts.query)) if hub else None


# -- any hub: what it opens when the server is there -----------------------------------------------


def _pulled(launch: Launch) -> str:
    """The path that pulls and opens, below the server's own address."""
    content = launch.content
    if content is None:
        return launch.opens
    pull = {
        "repo": content.repository,
        "branch": "" if content.is_commit else content.ref,  # nbgitpuller knows no commits
        "targetPath": content.into,
        "urlpath": launch.opens,
    }
    return f"git-pull?{_query(pull)}"


def _read_pulled(path: str) -> tuple[Content | None, Target]:
    """The way back, also from what others write."""
    before, _mark, query = path.partition("?")
    if before.rstrip("/") != "git-pull":
        return None, target_at(path, "")
    pairs = _pairs(query)
    repository = pairs.get("repo", "")
    folder = (
        pairs.get("targetPath")
        or pairs.get("targetpath")
        or repository.rstrip("/").rpartition("/")[2]
    )
    content = Content(repository, pairs.get("branch", ""), folder.strip("/"))
    path = pairs.get("urlpath") or pairs.get("urlPath") or ""
    below = pairs.get("subpath") or pairs.get("subPath") or ""
    if not path:
        return content, Target(file=below.strip("/"))
    return content, target_at(path, content.into)


def _without(launch: Launch, *, environment: bool, group: bool) -> Launch:
    """What is left of a launch in the forms that are not ours."""
    content, env, target = launch.content, launch.environment, launch.target
    if content and content.is_commit:
        content = Content(content.repository, "", content.folder)
    file = "" if target.view in (RSTUDIO, VSCODE) else target.file
    kept = Environment(env.profile, env.options, env.fields, env.image)
    return Launch(
        content=content,
        environment=kept if environment else Environment(),
        group=launch.group if group else "",
        target=Target(target.view, file, target.path),
    )


# -- any hub: the spawn page -----------------------------------------------------------------------


def _writes_spawn(prefix: str) -> Callable[[Launch, str], str]:
    def write(launch: Launch, hub: str) -> str:
        options = {prefix + name: value for name, value in launch.environment.form.items()}
        if launch.group:
            options[prefix + CHARGED_GROUP] = launch.group
        after = f"{urlsplit(hub).path}hub/user-redirect/{_pulled(launch)}"
        query = urlencode({**options, "next": after}, quote_via=quote)
        return f"{hub}hub/spawn?{query}"

    return write


def _reads_spawn(form: str) -> Callable[[SplitResult], Read | None]:
    def read(parts: SplitResult) -> Read | None:
        hub = _base(parts, "hub/spawn")
        if not hub:
            return None
        pairs = _pairs(parts.query)
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
        content, target = _read_pulled(after.removeprefix(start)) if after else (None, Target())
        return Read(form, hub, Launch(content, environment_of(pairs), group, target=target))

    return read


def _carries_spawn(launch: Launch) -> Launch:
    return _without(launch, environment=True, group=True)


# -- any hub with nbgitpuller ----------------------------------------------------------------------


def _write_nbgitpuller(launch: Launch, hub: str) -> str:
    if launch.content is None:
        raise LaunchError(_("A link of nbgitpuller needs a repository."))
    return f"{hub}hub/user-redirect/{_pulled(launch)}"


def _read_nbgitpuller(parts: SplitResult) -> Read | None:
    hub = _base(parts, "hub/user-redirect/git-pull")
    if not hub:
        return None
    content, target = _read_pulled(f"git-pull?{parts.query}")
    return Read("nbgitpuller", hub, Launch(content, target=target))


def _carries_nbgitpuller(launch: Launch) -> Launch:
    return _without(launch, environment=False, group=False)


# -- Binder ----------------------------------------------------------------------------------------


def _write_binder(launch: Launch, hub: str) -> str:
    env, content = launch.environment, launch.content
    image = env if env.repository else content
    if content is None or image is None:
        raise LaunchError(_("A link to Binder needs a repository."))
    path = _pulled(launch) if env.repository else launch.target.url_path()
    query = _query({"urlpath": "" if path == "lab" else path})
    return f"{hub}v2/{_binder_spec(image.repository, image.ref)}?{query}".rstrip("?")


def _binder_spec(repository: str, ref: str) -> str:
    ref = quote(ref or _DEFAULT_REF)
    for provider, start in _BINDER_HOSTS.items():
        path = repository.removeprefix(start)
        if path != repository and "?" not in path and path.count("/") >= 1:
            if provider == "gl":
                return f"gl/{quote(path, safe='')}/{ref}"
            if path.count("/") == 1:
                return f"gh/{path}/{ref}"
    return f"git/{quote(repository, safe='')}/{ref}"


def _read_binder(parts: SplitResult) -> Read | None:
    found = re.fullmatch(r"(?P<base>/(?:.*/)?)v2/(?P<kind>gh|gl|git)/(?P<spec>.+)", parts.path)
    if not found:
        return None
    depth = 2 if found["kind"] == "gh" else 1
    *names, ref = found["spec"].split("/", depth)
    if len(names) < depth:
        return None
    start = _BINDER_HOSTS.get(found["kind"], "")
    image = start + ("/".join(names) if depth == 2 else unquote(names[0]))
    ref = "" if ref == _DEFAULT_REF else unquote(ref)
    pairs = _pairs(parts.query)
    path = pairs.get("urlpath", "").lstrip("/")
    if not path and (file := pairs.get("labpath") or pairs.get("filepath")):
        path = f"lab/tree/{quote(file.strip('/'))}"
    hub = f"{parts.scheme}://{parts.netloc.lower()}{found['base']}"
    if path.partition("?")[0] == "git-pull":
        content, target = _read_pulled(path)
        env = Environment(repository=image, ref=ref)
        return Read("binder", hub, Launch(content, env, target=target))
    target = target_at(path or "lab", "")
    return Read("binder", hub, Launch(Content(image, ref), target=target))


def _carries_binder(launch: Launch) -> Launch:
    env = launch.environment
    if env.repository:
        kept = _without(launch, environment=False, group=False)
        image = Environment(repository=env.repository, ref=env.ref)
        return Launch(kept.content, image, target=kept.target)
    content = launch.content
    return Launch(
        content=Content(content.repository, content.ref) if content else None,
        target=_at_root(launch.target),
    )


def _at_root(target: Target) -> Target:
    """Binder's servers start in the repository."""
    if target.view == URL:
        return target_at(target.path, "")
    return Target(target.view, "" if target.view in (RSTUDIO, VSCODE) else target.file)


# -- Colab -----------------------------------------------------------------------------------------


def _colab_path(launch: Launch) -> tuple[str, str, str]:
    """Owner and name, ref, file; empty where Colab can't have it."""
    content, file = launch.content, launch.target.file
    start = _BINDER_HOSTS["gh"]
    path = content.repository.removeprefix(start) if content else ""
    if not content or content.repository == path or path.count("/") != 1:
        return "", "", ""
    return path, content.ref, file if file.endswith(".ipynb") else ""


def _write_colab(launch: Launch, hub: str) -> str:
    path, ref, file = _colab_path(launch)
    if not path or not file or "/" in ref:
        raise LaunchError(
            _("Colab opens a notebook of a repository at GitHub, from a branch without a '/'.")
        )
    cell = launch.target.cell
    fragment = f"#scrollTo={quote(cell, safe='')}" if cell else ""
    return f"{hub}github/{path}/blob/{quote(ref or _DEFAULT_REF)}/{quote(file)}{fragment}"


def _read_colab(parts: SplitResult) -> Read | None:
    found = re.fullmatch(
        r"/github/(?P<repo>[^/]+/[^/]+)/blob/(?P<ref>[^/]+)/(?P<file>.+)", parts.path
    )
    if not found or parts.netloc.lower() != urlsplit(COLAB).netloc:
        return None
    ref = "" if found["ref"] == _DEFAULT_REF else unquote(found["ref"])
    cell = unquote(parts.fragment.removeprefix("scrollTo=")) if parts.fragment else ""
    target = Target(file=unquote(found["file"]), cell=cell)
    content = Content(_BINDER_HOSTS["gh"] + found["repo"], ref)
    return Read("colab", COLAB, Launch(content, target=target))


def _carries_colab(launch: Launch) -> Launch:
    content, target = launch.content, launch.target
    return Launch(
        content=Content(content.repository, content.ref) if content else None,
        target=Target(LAB, target.file, cell=target.cell),
    )


FORMS: dict[str, Form] = {
    "resolved": Form(_write_resolved, _read_resolved, lambda launch: launch),
    "spawn": Form(_writes_spawn("opt-"), _reads_spawn("spawn"), _carries_spawn),
    "spawn5": Form(_writes_spawn(""), _reads_spawn("spawn5"), _carries_spawn),
    "nbgitpuller": Form(_write_nbgitpuller, _read_nbgitpuller, _carries_nbgitpuller),
    "binder": Form(_write_binder, _read_binder, _carries_binder),
    "colab": Form(_write_colab, _read_colab, _carries_colab),
}
"""`resolved` needs share_links on the hub; `spawn` JupyterHub 6, or 5 with hub_quotas; `spawn5`
JupyterHub 5."""
