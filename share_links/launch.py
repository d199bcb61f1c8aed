"""What a launch link starts and opens, and the link itself. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from hub_groups.words import _
from hub_quotas.limits import CHARGED_GROUP

SCHEMES = ("https", "http", "ssh", "git", "file")


class LaunchError(ValueError):
    """A launch that can't work; the message says what would be right."""


@dataclass(frozen=True)
class Launch:
    """One launch: a hub, a server on it, and what to open there.

    Attributes:
        hub: the hub's address with its base path: `https://hub.example.org/` or `…/jupyter/`.
        options: spawn options by name, as the hub's form has them: `{"profile": "small"}`.
        group: the group to charge; empty for the first of the reader's groups that has room.
        repository: address of a Git repository to pull first; empty for none.
        branch: its branch; empty for the repository's default.
        file: what to open, within the repository or else within the reader's home; empty for
            JupyterLab as it is.

    Raises:
        LaunchError: for a hub or repository that is not an address, or a file outside.
    """

    hub: str
    options: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    repository: str = ""
    branch: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        hub = urlsplit(self.hub)
        if hub.scheme not in ("http", "https") or not hub.netloc or hub.query or hub.fragment:
            raise LaunchError(
                _(
                    "'{hub}' is not a hub's address; write, for example, https://hub.example.org/"
                ).format(hub=self.hub)
            )
        if self.repository:
            repository = urlsplit(self.repository)
            if repository.scheme not in SCHEMES or not repository.path.strip("/"):
                raise LaunchError(
                    _(
                        "'{repository}' is not a repository's address; write, for example, "
                        "https://github.com/earth/geo-book"
                    ).format(repository=self.repository)
                )
        elif self.branch:
            raise LaunchError(
                _("The branch '{branch}' needs a repository that it is in.").format(
                    branch=self.branch
                )
            )
        if ".." in self.file.split("/") or self.file.startswith("/"):
            raise LaunchError(
                _(
                    "'{file}' is not a path within the repository or the reader's home; write, "
                    "for example, intro/first-map.ipynb"
                ).format(file=self.file)
            )

    @property
    def url(self) -> str:
        """The link, for JupyterHub 6 and, where hub_quotas is installed, 5.5.

        It survives the login, needs no user name, and works under a base path.
        """
        base = self.hub.rstrip("/")
        options = {f"opt-{name}": value for name, value in self.options.items()}
        if self.group:
            options[f"opt-{CHARGED_GROUP}"] = self.group
        after = f"{urlsplit(base).path}/hub/user-redirect/{self._opens()}"
        return f"{base}/hub/spawn?{urlencode({**options, 'next': after}, quote_via=quote)}"

    def _opens(self) -> str:
        """Where the server takes the reader, below the server's own address."""
        if not self.repository:
            return f"lab/tree/{quote(self.file)}" if self.file else "lab"
        # Said explicitly: nbgitpuller and those who make links for it differ about `.git`.
        folder = self.repository.rstrip("/").rpartition("/")[2].removesuffix(".git")
        pull = {
            "repo": self.repository,
            "branch": self.branch,
            "targetPath": folder,
            "urlpath": f"lab/tree/{quote(folder)}/{quote(self.file)}".rstrip("/"),
        }
        pull = {name: value for name, value in pull.items() if value}
        return f"git-pull?{urlencode(pull, quote_via=quote)}"


def html_button(launch: Launch, label: str) -> str:
    """A plain link for a web page; works without JavaScript, on paper, and for a screen reader."""
    return f'<a class="launch-button" href="{html.escape(launch.url)}">{html.escape(label)}</a>'


def markdown_link(launch: Launch, label: str) -> str:
    """The same for Markdown and MyST."""
    text = label.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return f"[{text}](<{launch.url}>)"
