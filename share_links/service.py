"""The launch page: make a link that starts the right server and opens the right file."""

from __future__ import annotations

from tornado import web

from hub_groups.web import Context, Page, Routes
from hub_groups.words import _

from .addresses import LaunchError
from .buttons import html_button, markdown_link
from .forms import write
from .launch import Content, Environment, Launch, Target


class LinkPage(Page):
    """A form, and the link that it makes. Nothing is stored."""

    @web.authenticated
    async def get(self) -> None:
        typed = {
            name: self.get_query_argument(name, "")
            for name in ("repository", "branch", "file", "profile", "group", "label")
        }
        label = typed["label"] or _("Open on our hub")
        url = problem = ""
        if self.request.query_arguments:
            try:
                repository, branch = typed["repository"], typed["branch"]
                launch = Launch(
                    content=Content(repository, branch) if repository else None,
                    environment=Environment(profile=typed["profile"]),
                    group=typed["group"],
                    target=Target(file=typed["file"]),
                )
                url = write("spawn", launch, self.hub_address).url
            except LaunchError as error:
                problem = str(error)
                self.set_status(400)
        self.show(
            "link.html",
            typed=typed,
            url=url,
            problem=problem,
            html=html_button(url, label) if url else "",
            markdown=markdown_link(url, label) if url else "",
            groups=sorted(self.current_user.get("groups", [])),
        )

    @property
    def hub_address(self) -> str:
        """This hub as the reader's browser sees it."""
        host = self.settings["hub_host"] or f"{self.request.protocol}://{self.request.host}"
        return f"{host}{self.context.hub.removesuffix('hub/')}"


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    return [(context.prefix, LinkPage, {"context": context})]
