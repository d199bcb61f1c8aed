"""Links, keys and whether a launch would work, for programs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hub_groups.desk import iso
from hub_groups.rest import Model, Nothing, Operation, Refusal, Rest
from hub_groups.words import _

from .access import ACT, Who
from .addresses import LaunchError
from .desk import Desk
from .hub_client import HubDown
from .launch import as_values, from_values
from .links import Link, Terms, shown_id
from .making import read_audience
from .repositories import problem_with
from .store import AuthorKey, Stored

_LAUNCH = (
    "What is launched, as in share_links.yml: content (repository, ref, folder), environment "
    "(profile, options, fields, image, repository, ref), group, join, target (view, file, path, "
    "cell)"
)
_ID = {"id": "The link's id"}


class NewLink(Model):
    """A link to be made."""

    launch: dict[str, Any] = Field(description=_LAUNCH)
    label: str = Field("", max_length=200, description="Words on the button")
    users: list[str] = Field([], max_length=100, description="For whom; empty for everybody")
    group: str = Field("", max_length=1_000, description="Whose members may use it too")
    until: str = Field(
        "", max_length=40, description="When it ends: a day, or an instant; empty for never"
    )


class LinkItem(Model):
    """A link that is stored."""

    id: str
    url: str = Field(description="Its address, as this hub knows itself")
    launch: dict[str, Any] = Field(description=_LAUNCH)
    label: str
    users: list[str]
    group: str
    at: str = Field(description="When it was made (ISO 8601)")
    until: str | None = Field(description="When it ends (ISO 8601); null for never")
    revoked: bool
    counts: dict[str, int] = Field(
        description="How far readers got: clicked, started, pulled, opened, failed-…"
    )


class LinkItems(Model):
    links: list[LinkItem]


class NewKey(Model):
    """A public key that books are signed with."""

    public: str = Field(max_length=200, description="As 'share-links key' prints it")
    label: str = Field("", max_length=200, description="What it is for")


class KeyItem(Model):
    """A key of mine."""

    id: str
    public: str
    label: str
    at: str = Field(description="When it was added (ISO 8601)")


class KeyItems(Model):
    keys: list[KeyItem]


class WouldBe(Model):
    """A launch that may become a link."""

    launch: dict[str, Any] = Field(description=_LAUNCH)


class Found(Model):
    """Whether a launch would work for me now."""

    problems: list[str] = Field(description="What would not work, in words")
    options: dict[str, Any] = Field(description="The user options that it comes to")
    image: str = Field(description="The image that would be started; empty where there is none")
    nbgitpuller: bool | None = Field(
        description="Whether what would be started can pull content; null where nobody has tried"
    )


class LaunchRest(Desk, Rest):
    """An address of the API of launches."""

    async def check(self, who: Who) -> None:
        if self.current_user.get("kind", "user") != "user":
            raise Refusal(403, _("Only users have servers to launch something on."))
        if who is Who.ACTS and self.by_token and ACT not in self.current_user.get("scopes", ()):
            text = _("This token may not change anything here: it needs the scope {scope}.")
            raise Refusal(403, text.format(scope=ACT))

    def explain(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        if isinstance(error, LaunchError):
            return 400, str(error), ""
        if getattr(error, "code", 0) == 403:  # of the hub
            text = _("This token may not see the servers of its owner: it needs the scope {scope}.")
            return 403, text.format(scope="read:servers!user"), ""
        if isinstance(error, HubDown) and not hasattr(error, "log_message"):
            return 503, _("The hub can't be asked now. Try again in a minute."), ""
        return super().explain(error, status)


async def _links(handler: LaunchRest, _query: Nothing, _body: None) -> LinkItems:
    store = handler.shared.store
    await handler.shared.counts.flush()
    made = await handler.ask(store.links_of, handler.user)
    counts = await handler.ask(store.counts, [one.link.id for one in made])
    return LinkItems(links=[_item(handler, one, counts.get(one.link.id, {})) for one in made])


async def _make(handler: LaunchRest, _query: Nothing, body: NewLink) -> LinkItem:
    launch = from_values(body.launch)
    terms = read_audience(body.users, body.group, body.until, handler.shared.store.clock())
    await handler.check_joins(launch)
    store = handler.shared.store
    link = await handler.ask(store.make, launch, handler.user, terms, body.label)
    return _item(handler, Stored(link, store.clock()), {})


async def _link(handler: LaunchRest, _query: Nothing, _body: None) -> LinkItem:
    id = handler.part["id"]
    stored = await handler.ask(handler.shared.store.stored, id)
    if stored is None or stored.link.by != handler.user:
        raise Refusal(404, _("There is no such link here."))
    await handler.shared.counts.flush()
    counts = await handler.ask(handler.shared.store.counts, [id])
    return _item(handler, stored, counts.get(id, {}))


async def _revoke(handler: LaunchRest, _query: Nothing, _body: None) -> None:
    id, store = handler.part["id"], handler.shared.store
    if not await handler.ask(store.revoke, id, handler.user, handler.is_admin):
        raise Refusal(404, _("There is no such link here."))
    handler.shared.forget()


async def _keys(handler: LaunchRest, _query: Nothing, _body: None) -> KeyItems:
    found = await handler.ask(handler.shared.store.keys_of, handler.user)
    return KeyItems(keys=[_key_item(key) for key in found])


async def _add_key(handler: LaunchRest, _query: Nothing, body: NewKey) -> KeyItem:
    store = handler.shared.store
    return _key_item(await handler.ask(store.add_key, body.public, handler.user, body.label))


async def _remove_key(handler: LaunchRest, _query: Nothing, _body: None) -> None:
    store = handler.shared.store
    if not await handler.ask(store.remove_key, handler.part["id"], handler.user):
        raise Refusal(404, _("You have no such key."))
    handler.shared.forget()


async def _would_work(handler: LaunchRest, _query: Nothing, body: WouldBe) -> Found:
    launch = from_values(body.launch)
    problems, tried = await handler.problems_with(launch)
    if launch.content and (problem := await problem_with(launch.content)):
        problems.append(problem)
    known = await handler.ask(handler.shared.store.pulls, tried.image)
    return Found(
        problems=problems, options=dict(tried.options), image=tried.image, nbgitpuller=known
    )


def _item(handler: LaunchRest, stored: Stored, counts: dict[str, int]) -> LinkItem:
    link: Link = stored.link
    terms: Terms = link.terms
    return LinkItem(
        id=link.id,
        url=f"{handler.hub_address}services/launch/go/{shown_id(link.id)}",
        launch=as_values(link.launch),
        label=link.label,
        users=list(terms.users),
        group=terms.group,
        at=iso(stored.at),
        until=None if terms.until is None else iso(terms.until),
        revoked=link.revoked,
        counts=counts,
    )


def _key_item(key: AuthorKey) -> KeyItem:
    return KeyItem(id=key.id, public=key.public, label=key.label, at=iso(key.at))


OPERATIONS = (
    Operation("GET", "/links", Who.USER, "My links", _links, LinkItems, tag="links"),
    Operation(
        *("POST", "/links", Who.ACTS, "Make a link", _make, LinkItem),
        body=NewLink,
        status=201,
        problems=(400,),
        tag="links",
    ),
    Operation(
        *("GET", "/links/{id}", Who.USER, "A link of mine", _link, LinkItem),
        problems=(404,),
        tag="links",
        parts=_ID,
    ),
    Operation(
        *("DELETE", "/links/{id}", Who.ACTS, "Take a link back", _revoke),
        problems=(404,),
        tag="links",
        about="An admin may take back anybody's.",
        parts=_ID,
    ),
    Operation("GET", "/keys", Who.USER, "My keys", _keys, KeyItems, tag="keys"),
    Operation(
        *("POST", "/keys", Who.ACTS, "Add a key", _add_key, KeyItem),
        body=NewKey,
        status=201,
        problems=(400,),
        tag="keys",
    ),
    Operation(
        *("DELETE", "/keys/{id}", Who.ACTS, "Remove a key", _remove_key),
        problems=(404,),
        tag="keys",
        about="Links that it has signed work no more.",
        parts={"id": "The key's id"},
    ),
    Operation(
        *("POST", "/check", Who.USER, "Whether a launch would work for me", _would_work, Found),
        body=WouldBe,
        problems=(400,),
        tag="check",
        about="Nothing is started or stored.",
    ),
)
