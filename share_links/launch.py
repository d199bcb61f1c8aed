"""What a launch link starts and opens. Pure.

A `Launch` names no hub: the same one goes to several, or to a reader's own. How it is written as an
address is in `forms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from hub_groups.words import _

from .addresses import (
    BAD_REF,
    LONGEST,
    LaunchError,
    check_text,
    default_folder,
    is_below,
    is_url_path,
    normal_repository,
)

LAB, NOTEBOOK, RSTUDIO, VSCODE, URL = "lab", "notebook", "rstudio", "vscode", "url"
VIEWS = (LAB, NOTEBOOK, RSTUDIO, VSCODE, URL)
"""What a file is opened in; `url` is a path below the server's own address."""

MOST_OPTIONS = 30

_SHOWN_OFCOMMIT = 7
_RESERVED_FIELDS = ("next", "display_name")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[^\s&=#?%/+]+")

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Content:
    """A Git repository that is pulled first.

    Attributes:
        repository: its address.
        ref: a branch, a tag or a commit; empty for the repository's default branch.
        folder: where it goes in the reader's home; empty for the repository's name, with the
            beginning of a commit behind it: what is there of a branch is left alone.

    Raises:
        LaunchError: for an address that is none, with a password in it, or a folder elsewhere.
    """

    repository: str
    ref: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        _set(self, "repository", normal_repository(self.repository))
        for name in ("ref", "folder"):
            check_text(name, getattr(self, name))
        if self.ref and BAD_REF.search(self.ref):
            raise LaunchError(
                _(
                    "'{ref}' is no branch, tag or commit; write, for example, main, or leave it "
                    "out for the default branch"
                ).format(ref=self.ref)
            )
        if self.folder and (
            not is_below(self.folder) or any(p.startswith(".") for p in self.folder.split("/"))
        ):
            raise LaunchError(
                _(
                    "'{folder}' is not a folder in the reader's home; write, for example, geo-book"
                ).format(folder=self.folder)
            )
        if self.folder == self._usual_folder:
            _set(self, "folder", "")

    @property
    def into(self) -> str:
        """The folder in the reader's home."""
        return self.folder or self._usual_folder

    @property
    def _usual_folder(self) -> str:
        name = default_folder(self.repository)
        return f"{name}-{self.ref[:_SHOWN_OFCOMMIT]}" if self.is_commit else name

    @property
    def is_commit(self) -> bool:
        """Whether the ref is a commit, as a whole: such a one never changes."""
        return bool(COMMIT.fullmatch(self.ref))


@dataclass(frozen=True)
class Environment:
    """The server that is started; empty for what the hub decides, or the reader on its form.

    Attributes:
        profile: one of the hub's profiles.
        options: what is chosen of the profile's own options, by option.
        fields: further fields of the hub's form.
        image: an image that the profile's option `image` does not list, or of a hub without
            profiles.
        repository: a repository that a BinderHub makes an image of; with `ref`.

    Raises:
        LaunchError: for what no form could send.
    """

    profile: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)
    fields: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)
    image: str = ""
    repository: str = ""
    ref: str = ""

    def __post_init__(self) -> None:
        for name in ("profile", "image", "ref"):
            check_text(name, getattr(self, name))
        if "--" in self.profile:
            raise LaunchError(
                _("'{profile}' is no name of a profile.").format(profile=self.profile)
            )
        for name in ("options", "fields"):
            _set(self, name, MappingProxyType(dict(sorted(getattr(self, name).items()))))
        if self.options and not self.profile:
            raise LaunchError(
                _("Options are those of a profile: name it too, or write fields of the form.")
            )
        if len(self.options) + len(self.fields) > MOST_OPTIONS:
            raise LaunchError(_("At most {most} options go at once.").format(most=MOST_OPTIONS))
        for key, value in (*self.options.items(), *self.fields.items()):
            check_text(key, value)
            if not _NAME.fullmatch(key) or len(key) > LONGEST:
                raise LaunchError(_("'{name}' is no name of an option.").format(name=key))
        if "image--unlisted-choice" in self.options:
            raise LaunchError(_("An image that a profile does not list is written as 'image'."))
        for key in self.fields:
            if key in ("profile", "image", *_RESERVED_FIELDS) or key.startswith(
                ("opt-", "profile-option-")
            ):
                raise LaunchError(
                    _("The field '{name}' of the form has a meaning of its own.").format(name=key)
                )
        if self.repository:
            _set(self, "repository", normal_repository(self.repository))
        elif self.ref:
            raise LaunchError(
                _("The ref '{ref}' needs a repository that it is in.").format(ref=self.ref)
            )
        if self.ref and BAD_REF.search(self.ref):
            raise LaunchError(_("'{ref}' is no branch, tag or commit.").format(ref=self.ref))

    def __hash__(self) -> int:
        return hash(tuple(_parts(self)))

    def __bool__(self) -> bool:
        return any(_parts(self))

    @property
    def form(self) -> dict[str, str]:
        """The fields of the hub's form, as KubeSpawner and DockerSpawner name them."""
        found = dict(self.fields)
        prefix = f"profile-option-{self.profile}--"
        if self.profile:
            found["profile"] = self.profile
            found |= {prefix + key: value for key, value in self.options.items()}
        if self.image:
            found[f"{prefix}image--unlisted-choice" if self.profile else "image"] = self.image
        return found


def environment_of(form: Mapping[str, str]) -> Environment:
    """What fields of the hub's form say: the way back from `Environment.form`.

    Raises:
        LaunchError: as Environment.
    """
    rest = dict(form)
    profile = rest.pop("profile", "")
    image = ""
    options = {}
    if profile:
        prefix = f"profile-option-{profile}--"
        for key in [key for key in rest if key.startswith(prefix)]:
            options[key.removeprefix(prefix)] = rest.pop(key)
        image = options.pop("image--unlisted-choice", "")
    else:
        image = rest.pop("image", "")
    # Options of another profile: a form sends those of all that it shows, and the hub ignores them.
    rest = {key: value for key, value in rest.items() if not key.startswith("profile-option-")}
    return Environment(profile=profile, options=options, fields=rest, image=image)


@dataclass(frozen=True)
class Target:
    """What is opened.

    Attributes:
        view: one of VIEWS.
        file: within the repository or else within the reader's home; empty for none.
        path: for the view `url`: what to open, below the server's own address.
        cell: the id of a cell of a notebook.

    Raises:
        LaunchError: for a path that leads elsewhere.
    """

    view: str = LAB
    file: str = ""
    path: str = ""
    cell: str = ""

    def __post_init__(self) -> None:
        for name in ("file", "path", "cell"):
            check_text(name, getattr(self, name))
        if self.view not in VIEWS:
            raise LaunchError(
                _("There is no view '{view}'; there are {views}.").format(
                    view=self.view, views=", ".join(VIEWS)
                )
            )
        if self.file and not is_below(self.file):
            raise LaunchError(
                _(
                    "'{file}' is not a path within the repository or the reader's home; write, "
                    "for example, intro/first-map.ipynb"
                ).format(file=self.file)
            )
        if (self.view == URL) != bool(self.path):
            raise LaunchError(_("The view 'url' needs a path, and no other view has one."))
        if self.path and (self.file or not is_url_path(self.path)):
            raise LaunchError(
                _(
                    "'{path}' is not a path below the server's address, without a file beside it; "
                    "write, for example, voila/render/map.ipynb"
                ).format(path=self.path)
            )
        if self.cell and not self.file:
            raise LaunchError(_("The cell '{cell}' needs a file.").format(cell=self.cell))

    def url_path(self, folder: str = "") -> str:
        """The path to open, below the server's own address; percent-encoded.

        Args:
            folder: the repository's folder in the reader's home.
        """
        file = quote("/".join(part for part in (folder, self.file) if part))
        if self.view == URL:
            return self.path
        if self.view == RSTUDIO:
            return "rstudio/"
        if self.view == VSCODE:
            return f"vscode/?folder={quote(folder, safe='')}" if folder else "vscode/"
        if self.view == NOTEBOOK:
            return f"notebooks/{file}" if file.endswith(".ipynb") else f"tree/{file}".rstrip("/")
        return f"lab/tree/{file}" if file else "lab"


def target_at(path: str, folder: str) -> Target:
    """What a path below the server's own address opens: the way back from `Target.url_path`.

    Raises:
        LaunchError: it leads elsewhere.
    """
    path = path.lstrip("/")
    if path == f"vscode/?folder={quote(folder, safe='')}" or (path == "vscode/" and not folder):
        return Target(VSCODE)
    if path.rstrip("/") == "rstudio":
        return Target(RSTUDIO)
    for view, starts in ((LAB, ("lab/tree", "lab")), (NOTEBOOK, ("notebooks", "tree"))):
        for start in starts:
            rest = path.removeprefix(start)
            if rest == path or (rest and not rest.startswith("/")):
                continue
            file = unquote(rest.strip("/"))
            if start == "lab" and file:
                continue
            if file == folder or not file:
                target = Target(view)
            elif not folder or file.startswith(f"{folder}/"):
                target = Target(view, file[len(folder) + 1 if folder else 0 :])
            else:
                continue
            # What another view would open, or in another way, is kept as it stands.
            if "?" not in rest and "#" not in rest:
                return target
    return Target(URL, path=path.partition("#")[0])


@dataclass(frozen=True)
class Launch:
    """One launch: a server, and what to open there.

    Attributes:
        content: what is pulled first; None for nothing.
        group: the group to charge; empty for the first of the reader's groups that has room.
        join: whether the reader becomes a member of that group, where who made the link manages
            it.

    Raises:
        LaunchError: for parts that do not go together.
    """

    content: Content | None = None
    environment: Environment = field(default_factory=Environment)
    group: str = ""
    join: bool = False
    target: Target = field(default_factory=Target)

    def __post_init__(self) -> None:
        check_text("group", self.group)
        if self.join and not self.group:
            raise LaunchError(_("Readers can only join a group that the link names."))
        if self.target.view == URL:
            _set(self, "target", target_at(self.target.path, self.folder))

    @property
    def opens(self) -> str:
        """The path to open when the content is there, below the server's own address."""
        return self.target.url_path(self.folder)

    @property
    def folder(self) -> str:
        """Where in the reader's home its file is; empty for the home itself."""
        return self.content.into if self.content else ""

    @property
    def without_place(self) -> Launch:
        """All but what is opened: what somebody agrees to, once for all pages of a book."""
        return replace(self, target=Target())


# -- as plain values -------------------------------------------------------------------------------

_INSIDE: dict[str, type] = {"content": Content, "environment": Environment, "target": Target}


def as_values(launch: Launch) -> dict[str, Any]:
    """A launch as JSON and YAML have it: only what is set."""
    found: dict[str, Any] = {}
    for name, value in _named(launch):
        if name in _INSIDE:
            value = {key: _plain(part) for key, part in _named(value)} if value else {}
            value = {key: part for key, part in value.items() if (key, part) != ("view", LAB)}
        if value:
            found[name] = value
    return found


def from_values(values: object, where: str = "launch") -> Launch:
    """The way back.

    Args:
        where: how messages name the place of what is wrong.

    Raises:
        LaunchError: it is no launch; says which key.
    """
    rest = _keys(values, Launch, where)
    for name, kind in _INSIDE.items():
        if name in rest:
            parts = _keys(rest[name], kind, f"{where}.{name}")
            for key, part in parts.items():
                mapping = key in ("options", "fields")
                right = isinstance(part, Mapping if mapping else str)
                if mapping and right:
                    right = all(isinstance(x, str) for pair in part.items() for x in pair)
                if not right:
                    kind_of = _("texts by name") if mapping else _("a text")
                    raise _wrong_kind(f"{where}.{name}.{key}", kind_of)
            if kind is Content and "repository" not in parts:
                raise _wrong_kind(f"{where}.content.repository", _("a text"))
            rest[name] = kind(**parts)
    if not isinstance(rest.get("group", ""), str):
        raise _wrong_kind(f"{where}.group", _("a text"))
    if not isinstance(rest.get("join", False), bool):
        raise _wrong_kind(f"{where}.join", _("true or false"))
    return Launch(**rest)


def _keys(values: object, kind: type, where: str) -> dict[str, Any]:
    known = [one.name for one in fields(kind)]
    if not isinstance(values, Mapping):
        raise _wrong_kind(where, _("a mapping"))
    for key in values:
        if key not in known:
            raise LaunchError(
                _("{where}: there is no '{key}' here; there are {known}.").format(
                    where=where, key=key, known=", ".join(known)
                )
            )
    return dict(values)


def _wrong_kind(where: str, kind: str) -> LaunchError:
    return LaunchError(_("{where}: needs {kind}.").format(where=where, kind=kind))


def _named(part: Any) -> Iterator[tuple[str, Any]]:
    for one in fields(part):
        if value := getattr(part, one.name):
            yield one.name, value


def _parts(environment: Environment) -> Iterator[Any]:
    for one in fields(environment):
        yield _plain(getattr(environment, one.name), tuple)


def _plain(value: Any, of: type = dict) -> Any:
    return of(value.items()) if isinstance(value, Mapping) else value


def _set(part: Any, name: str, value: Any) -> None:
    object.__setattr__(part, name, value)
