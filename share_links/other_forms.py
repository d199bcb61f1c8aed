"""Addresses of what else starts servers: Binder and Colab. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from hub_groups.words import _

from .addresses import LaunchError
from .form_parts import Read, from_query, pulled, read_pulled, to_query, without
from .launch import (
    LAB,
    RSTUDIO,
    URL,
    VSCODE,
    Content,
    Environment,
    Launch,
    Target,
    target_at,
)

BINDER = "https://mybinder.org/"
COLAB = "https://colab.research.google.com/"

_DEFAULT_REF = "HEAD"
_BINDER_HOSTS = {"gh": "https://github.com/", "gl": "https://gitlab.com/"}


# -- Binder ----------------------------------------------------------------------------------------


def write_binder(launch: Launch, hub: str) -> str:
    env, content = launch.environment, launch.content
    image = env if env.repository else content
    if content is None or image is None:
        raise LaunchError(_("A link to Binder needs a repository."))
    path = pulled(launch) if env.repository else launch.target.url_path()
    query = to_query({"urlpath": "" if path == "lab" else path})
    return f"{hub}v2/{binder_spec(image.repository, image.ref)}?{query}".rstrip("?")


def binder_spec(repository: str, ref: str) -> str:
    """How BinderHub names a repository, with its provider."""
    ref = quote(ref or _DEFAULT_REF)
    for provider, start in _BINDER_HOSTS.items():
        path = repository.removeprefix(start)
        if path != repository and "?" not in path and path.count("/") >= 1:
            if provider == "gl":
                return f"gl/{quote(path, safe='')}/{ref}"
            if path.count("/") == 1:
                return f"gh/{path}/{ref}"
    return f"git/{quote(repository, safe='')}/{ref}"


def read_binder(parts: SplitResult) -> Read | None:
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
    pairs = from_query(parts.query)
    path = pairs.get("urlpath", "").lstrip("/")
    if not path and (file := pairs.get("labpath") or pairs.get("filepath")):
        path = f"lab/tree/{quote(file.strip('/'))}"
    hub = f"{parts.scheme}://{parts.netloc.lower()}{found['base']}"
    if path.partition("?")[0] == "git-pull":
        content, target = read_pulled(path)
        env = Environment(repository=image, ref=ref)
        return Read("binder", hub, Launch(content, env, target=target))
    target = target_at(path or "lab", "")
    return Read("binder", hub, Launch(Content(image, ref), target=target))


def carries_binder(launch: Launch) -> Launch:
    env = launch.environment
    if env.repository:
        kept = without(launch, environment=False, group=False)
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


def write_colab(launch: Launch, hub: str) -> str:
    path, ref, file = _colab_path(launch)
    if not path or not file or "/" in ref:
        raise LaunchError(
            _("Colab opens a notebook of a repository at GitHub, from a branch without a '/'.")
        )
    cell = launch.target.cell
    fragment = f"#scrollTo={quote(cell, safe='')}" if cell else ""
    return f"{hub}github/{path}/blob/{quote(ref or _DEFAULT_REF)}/{quote(file)}{fragment}"


def read_colab(parts: SplitResult) -> Read | None:
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


def carries_colab(launch: Launch) -> Launch:
    content, target = launch.content, launch.target
    return Launch(
        content=Content(content.repository, content.ref) if content else None,
        target=Target(LAB, target.file, cell=target.cell),
    )
