"""A click on a launch link: what happens where nothing has to be asked, or the question."""

from __future__ import annotations

from urllib.parse import quote

from tornado.httputil import url_concat

from hub_groups.joining import LinkOver
from hub_groups.links import join_by_launch
from hub_groups.words import _
from hub_quotas.limits import CHARGED_GROUP
from hub_quotas.prospects import Prospect, say_size

from .addresses import LaunchError
from .clicks import Click
from .copying import Copy
from .desk import LaunchPage, instead
from .fitting import NAMED, RESTART, START
from .hub_client import Offered, Tried
from .journeys import Journey
from .links import Link, agreement, clean_id
from .sharing import say_options


class OpenPage(LaunchPage):
    """`open?…` and `go/ID`.

    A GET goes on only where that changes nothing that its reader would not want: the link is one
    whose author they trust, and it is theirs to follow, not a page's that loads it unseen.
    """

    async def get(self, id: str = "") -> None:
        answer = await self.recent_answer(clean_id(id) if id else "")
        click = answer.click
        self.shared.counts(click.link.id, "clicked")
        if click.problem or click.asks or not self._is_a_visit():
            self._show(click, answer.pages)
        else:
            await self._go(click, click.fitting.ways[0])

    async def post(self, id: str = "") -> None:
        self.shared.answers.forget(self.user)
        found = await self.find_link(clean_id(id) if id else "")
        link, form = found.link, None
        if chosen := self.get_body_argument("choice", ""):
            offered = await self._choices(link)
            if chosen not in offered:
                raise LaunchError(_("This hub does not offer '{name}'.").format(name=chosen))
            form = offered[chosen].form
        click = await self.click(found, form)
        if form is not None:
            link = Link(**{**link.__dict__, "launch": instead(link.launch, form)})
        way = self.get_body_argument("way", click.fitting.ways[0])
        if click.problem or not click.allows(way) or way not in click.fitting.ways:
            self._show(click)  # something has changed since they looked
            return
        if self.get_body_argument("remember", ""):
            await self.ask(self.shared.store.agree, self.user, agreement(click.link))
        if click.joins:
            join = (join_by_launch, self.shared.groups, click.joins, self.user, click.link.by)
            try:
                await self.ask(*join)
            except LinkOver as error:
                raise LaunchError(str(error)) from None
        await self._go(click, way, link)

    # -- how ---------------------------------------------------------------------------------------

    async def _choices(self, link: Link) -> dict[str, Offered]:
        state = await self.hub.state({}, link.by, choices=True)
        return {one.name: one for one in state.offered}

    async def _go(self, click: Click, way: str, link: Link | None = None) -> None:
        """On the way: a page shows how it goes."""
        link, fitting, state = link or click.link, click.fitting, click.state
        server = fitting.named if way == NAMED else fitting.server
        starts = way in (START, NAMED, RESTART) and not click.form_first
        options = dict(state.wanted.options)
        if link.launch.group:
            options[CHARGED_GROUP] = link.launch.group
        journey = Journey(
            hub=self.hub,
            launch=link.launch,
            link=link.id,
            server=server,
            options=options if starts else None,
            restart=way == RESTART,
            join=click.joins,
            back=self.request.uri or "",
            phone=self._is_on_a_phone(),
            image=state.wanted.image,
            copy=self._copy(link),
            charges=click.charges,
            made=click.made,
            builder=self.shared.builder,
        )
        where = f"{self.context.prefix}progress/{journey.id}"
        if click.form_first:
            self.shared.journeys.keep(journey)
            name = f"/{quote(self.user, safe='')}/{quote(server, safe='')}" if server else ""
            self.redirect(
                url_concat(
                    f"{self.settings['hub_host']}{self.context.hub}spawn{name}", {"next": where}
                ),
                status=303,
            )
            return
        self.shared.answers.forget(self.user)
        self.shared.journeys.begin(journey)
        self.redirect(where, status=303)

    def _is_on_a_phone(self) -> bool:
        """As browsers say it of themselves (Client Hints, or the name of old)."""
        said = self.request.headers
        return said.get("Sec-CH-UA-Mobile") == "?1" or "Mobi" in said.get("User-Agent", "")

    def _copy(self, link: Link) -> Copy | None:
        if not link.snapshot:
            return None
        return Copy(link.by, link.launch.target.file, self.shared.snapshots, link.snapshot)

    def _is_a_visit(self) -> bool:
        """Whether somebody looks at this, rather than a page or a browser ahead of time."""
        said = self.request.headers
        return (
            said.get("Sec-Fetch-Dest", "document") == "document"
            and said.get("Sec-Fetch-Mode", "navigate") == "navigate"
            and "prefetch" not in said.get("Sec-Purpose", "")
        )

    def _show(self, click: Click, pages: dict[str, str] | None = None) -> None:
        """`pages`: made a moment ago, or to be made; see Answer."""
        if click.problem:
            self.set_status(403)
        pages, token = {} if pages is None else pages, self.xsrf_token.decode()
        if token not in pages:
            pages.clear()  # one is enough: who has no cookies gets another token each time
            pages[token] = self._page(click)
        self.finish(pages[token])

    def _page(self, click: Click) -> str:
        link, state = click.link, click.state
        launch = link.launch
        ways = [way for way in click.fitting.ways if click.allows(way)]
        return self.rendered(
            "open.html",
            address=self.request.uri,
            first=ways[0] if ways else "",
            click=click,
            link=link,
            launch=launch,
            wanted=state.wanted,
            on=_say_server(link, state.wanted),
            say_size=say_size,
            say_prospect=_say_prospect,
            trusted=click.trusted,
            allowed=bool(ways),
        )


def _say_server(link: Link, wanted: Tried) -> str:
    """`large · 4 cores, 16 GiB · image pangeo`: what would be started."""
    image = _("image {image}").format(image=wanted.image) if wanted.image else ""
    env = link.launch.environment
    if env.repository:
        image = _("environment of {repository}").format(repository=env.repository)
        image += f" @ {env.ref[:40]}" if env.ref else ""
    profile = env.profile
    chosen = say_options(link.source.options) if link.source and not profile else profile
    parts = (chosen, say_size(wanted.limits), image)
    return " · ".join(part for part in parts if part)


def _say_prospect(prospect: Prospect) -> str:
    """What is charged for it, and how long what is left lasts."""
    parts = [_("charged to {group}").format(group=prospect.group)] if prospect.group else []
    if prospect.price:
        parts.append(_("{price} an hour").format(price=prospect.price))
    if prospect.lasts:
        parts.append(_("what is left lasts {length} at least").format(length=prospect.lasts))
    return " · ".join(parts)
