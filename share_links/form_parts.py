"""What the forms of addresses have in common: above all, what a server pulls and opens. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, quote, urlencode

from .launch import (
    RSTUDIO,
    VSCODE,
    Content,
    Environment,
    Launch,
    Target,
    target_at,
)


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


def to_query(pairs: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in pairs.items() if value}, quote_via=quote)


def from_query(query: str) -> dict[str, str]:
    """The first value of each name counts, as it does for the hub."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=200):
        found.setdefault(name, value)
    return found


def base_of(parts: SplitResult, path: str) -> str | None:
    """The address of the hub whose `path` this is; None where it is something else."""
    if parts.path != f"/{path}" and not parts.path.endswith(f"/{path}"):
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path[: -len(path)]}"


def pulled(launch: Launch) -> str:
    """The path that pulls and opens, below the server's own address."""
    if launch.content is None:
        return launch.opens
    content = _without_commit(launch.content)
    launch = replace(launch, content=content)
    pull = {
        "repo": content.repository,
        "branch": content.ref,
        "targetPath": content.into,
        "urlpath": launch.opens,
    }
    return f"git-pull?{to_query(pull)}"


def read_pulled(path: str) -> tuple[Content | None, Target]:
    """The way back, also from what others write."""
    before, _mark, query = path.partition("?")
    if before.rstrip("/") != "git-pull":
        return None, target_at(path, "")
    pairs = from_query(query)
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


def without(launch: Launch, *, environment: bool, group: bool) -> Launch:
    """What is left of a launch in the forms that are not ours."""
    content, env, target = launch.content, launch.environment, launch.target
    file = "" if target.view in (RSTUDIO, VSCODE) else target.file
    kept = Environment(env.profile, env.options, env.fields, env.image)
    return Launch(
        content=_without_commit(content) if content else None,
        environment=kept if environment else Environment(),
        group=launch.group if group else "",
        target=Target(target.view, file, target.path),
    )


def _without_commit(content: Content) -> Content:
    """What nbgitpuller pulls: it knows branches and tags."""
    return Content(content.repository, "", content.folder) if content.is_commit else content
