"""The launch page: make a link that starts the right server and opens the right file."""

from __future__ import annotations

from tornado import web

from hub_groups.web import Context, Page, Routes
from hub_groups.words import _

from .launch import Launch, LaunchError, html_button, markdown_link


class LinkPage(Page):
    """A form, and the link that it makes. Nothing is stored."""

    @web.authenticated
    async def get(self) -> None:
        typed = {
            name: self.get_query_argument(name, "")
            for name in ("repository", "branch", "file", "profile", "group", "label")
        }
        label = typed["label"] or _("Open on our hub")
        launch, problem = None, ""
        if self.request.query_arguments:
            profile = {"profile": typed["profile"]} if typed["profile"] else {}
            try:
                launch = Launch(
                    hub=self.hub_address,
                    options=profile,
                    group=typed["group"],
                    repository=typed["repository"],
                    branch=typed["branch"],
                    file=typed["file"],
                )
            except LaunchError as error:
                problem = str(error)
                self.set_status(400)
        self.show(
            "link.html",
            typed=typed,
            launch=launch,
            problem=problem,
            html=html_button(launch, label) if launch else "",
            markdown=markdown_link(launch, label) if launch else "",
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
