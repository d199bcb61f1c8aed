"""A book and its launch links: what `share_links.yml` says, and the links of each page. Pure.

What is said of a page stands in four places. Each says only some things; a later one wins, key by
key: the top of the file, the entries of `pages` that match, the page itself, a `launch` directive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import reduce
from typing import Any

from hub_groups.words import LANGUAGES, _, speaking

from .addresses import LaunchError, normal_hub
from .forms import FORMS, Written, write, write_signed
from .launch import LAB, Content, Environment, Launch, Target, from_values
from .tokens import PrivateKey

FILE = "share_links.yml"
ELSEWHERE = ("binder", "colab")
"""Forms whose links lead to no hub: they need no address."""


class BookError(ValueError):
    """A `share_links.yml` that can't be used.

    Attributes:
        place: the keys that lead to what is wrong; entries of lists count from 1.
    """

    def __init__(self, place: Iterable[str], why: str) -> None:
        self.place = tuple(place)
        where = " ".join(self.place)
        super().__init__(f"{where}: {why}" if where else why)


@dataclass(frozen=True)
class BookHub:
    """Where a button leads.

    Attributes:
        label: how readers know it.
        url: its address; empty for the public Binder and Colab.
        form: one of FORMS.
    """

    label: str
    url: str
    form: str = "resolved"


@dataclass(frozen=True)
class Choice:
    """What one place says about launches; None for what it does not say.

    Attributes:
        file: what is opened instead of the page, within the book.
        hubs: labels of those that get a button.
        launch: whether there is a button at all.
    """

    environment: Environment | None = None
    group: str | None = None
    join: bool | None = None
    view: str | None = None
    file: str | None = None
    hubs: tuple[str, ...] | None = None
    launch: bool | None = None

    def then(self, later: Choice) -> Choice:
        """Both; the later one wins, key by key."""
        said = {one.name: getattr(later, one.name) for one in fields(later)}
        return replace(self, **{key: value for key, value in said.items() if value is not None})


NOTHING_SAID = Choice()


@dataclass(frozen=True)
class Rule:
    """An entry of `pages`.

    Attributes:
        match: a page, or a pattern: `*` stands for anything, also over folders.
    """

    match: str
    choice: Choice

    def names(self, page: str) -> bool:
        """Whether this is about the page; a `[` in its name is taken as it stands too."""
        return self.match == page or fnmatchcase(page, self.match)


@dataclass(frozen=True)
class Book:
    """What a book launches, and where.

    Attributes:
        subfolder: where the book is in its repository; empty for the top.
        default: what holds where nothing else is said.
        rules: the entries of `pages`.
        language: that of the buttons; empty where the file does not say.
        key: what links to a hub with share_links are signed with; None for not at all.
    """

    hubs: tuple[BookHub, ...]
    content: Content
    subfolder: str = ""
    default: Choice = NOTHING_SAID
    rules: tuple[Rule, ...] = ()
    language: str = ""
    key: PrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Page:
    """A page of a book.

    Attributes:
        path: within the book, with forward slashes.
        runs: whether it is a notebook, in whichever format.
        own: what it says of itself.
    """

    path: str
    runs: bool = False
    own: Choice = NOTHING_SAID


@dataclass(frozen=True)
class Link:
    """A button.

    Attributes:
        hub: the label of the hub.
        text: what stands on it.
        label: what a screen reader says: the text, and what is opened.
    """

    hub: str
    url: str
    text: str
    label: str


@dataclass(frozen=True)
class Aimed:
    """What one hub is asked for by one page.

    Attributes:
        written: the link; None where this hub's kind can't have one.
        why: then, why.
    """

    hub: BookHub
    launch: Launch
    written: Written | None
    why: str = ""


def aims(book: Book, page: Page, more: Choice = NOTHING_SAID) -> tuple[Aimed, ...]:
    """What a page asks of each hub; nothing for a page that has nothing to launch.

    Args:
        more: what a directive on it says.

    Raises:
        LaunchError: what is said there does not go together.
    """
    choice = _choice(book, page).then(more)
    if not (_named(book, page) if choice.launch is None else choice.launch):
        return ()
    file = page.path if choice.file is None else choice.file
    launch = Launch(
        content=book.content,
        environment=choice.environment or Environment(),
        group=choice.group or "",
        join=bool(choice.join),
        target=Target(
            view=choice.view or LAB,
            file="/".join(part for part in (book.subfolder, file) if part),
        ),
    )
    return tuple(
        _aimed(hub, launch, book.key)
        for hub in book.hubs
        if choice.hubs is None or hub.label in choice.hubs
    )


def links(
    book: Book, page: Page, more: Choice = NOTHING_SAID, *, label: str = "", language: str = ""
) -> tuple[Link, ...]:
    """The buttons of a page, or of a directive on it.

    Args:
        label: what is to stand on the button; empty for `Open on HUB`.
        language: that of the book, where its file names none.

    Raises:
        LaunchError: as `aims`.
    """
    found = aims(book, page, more)
    texts = speaking(book.language or language or "en", _texts, found, label)
    return tuple(
        Link(aim.hub.label, aim.written.url, text, name)
        for aim, (text, name) in zip(found, texts, strict=True)
        if aim.written
    )


def _texts(found: Iterable[Aimed], label: str) -> list[tuple[str, str]]:
    texts = []
    for aim in found:
        text = label or _("Open on {hub}").format(hub=aim.hub.label)
        hub = f"{aim.hub.label}, " if label else ""
        file = aim.launch.target.file or aim.launch.opens
        # The text first: who steers by voice says what they see.
        texts.append((text, f"{text}: {hub}{file}"))
    return texts


def _choice(book: Book, page: Page) -> Choice:
    said = [rule.choice for rule in book.rules if rule.names(page.path)]
    return reduce(Choice.then, [*said, page.own], book.default)


def _named(book: Book, page: Page) -> bool:
    by_itself = page.own != NOTHING_SAID
    return page.runs or by_itself or any(rule.match == page.path for rule in book.rules)


def _aimed(hub: BookHub, launch: Launch, key: PrivateKey | None) -> Aimed:
    try:
        if key and hub.form == "resolved":
            return Aimed(hub, launch, write_signed(launch, hub.url, key))
        return Aimed(hub, launch, write(hub.form, launch, hub.url))
    except LaunchError as error:
        return Aimed(hub, launch, None, str(error))


# -- from plain values -----------------------------------------------------------------------------

TOP = ("hubs", "content", "environment", "group", "join", "view", "pages", "language")
HUB = ("label", "url", "form")
CONTENT = ("repository", "ref", "folder", "subfolder")
CHOICES = tuple(one.name for one in fields(Choice))
_DEFAULTS = ("environment", "group", "join", "view")


@dataclass(frozen=True)
class Found:
    """What git says of the folder that a book is in; empty for what it does not know."""

    repository: str = ""
    ref: str = ""
    subfolder: str = ""


def parse_book(values: object, found: Found = Found()) -> Book:
    """A book from what its file says.

    Args:
        found: what holds where the file does not say it.

    Raises:
        BookError: the file can't be used; says where and what would be right.
    """
    said = _keys((), values, TOP)
    entries = _list(("hubs",), said.get("hubs"))
    hubs = tuple(_hub(("hubs", str(n)), one) for n, one in enumerate(entries, 1))
    if not hubs:
        raise BookError(("hubs",), "name at least one, with label and url.")
    labels = [hub.label for hub in hubs]
    for n, label in enumerate(labels, 1):
        if label in labels[: n - 1]:
            raise BookError(("hubs", str(n), "label"), f"'{label}' is another hub's.")
    language = _text(("language",), said.get("language", ""))
    if language and language not in LANGUAGES:
        raise BookError(("language",), f"there is {_list_of(LANGUAGES)}.")
    content, subfolder = _content(said.get("content"), found)
    default = _parse_choice((), {key: said[key] for key in _DEFAULTS if key in said}, labels)
    pages = _list(("pages",), said.get("pages"))
    rules = tuple(_rule(("pages", str(n)), one, labels) for n, one in enumerate(pages, 1))
    for place, choice in (
        (("join",), default),
        *((("pages", str(n), "join"), default.then(r.choice)) for n, r in enumerate(rules, 1)),
    ):
        if choice.join and not choice.group:
            raise BookError(place, "name the group that readers join, too.")
    return Book(hubs, content, subfolder, default, rules, language)


def parse_choice(book: Book, values: object) -> Choice:
    """What a page says of itself: true, false, or the keys of an entry of `pages`.

    Raises:
        BookError: it is none of that.
    """
    if isinstance(values, bool):
        return Choice(launch=values)
    place = ("share_links",)
    return _parse_choice(place, _keys(place, values, CHOICES), [hub.label for hub in book.hubs])


def parse_hubs(values: object) -> tuple[BookHub, ...]:
    """Hubs as `share_links.yml` has them, in a file of their own: for readers to choose from.

    Raises:
        BookError: it can't be used; says where and what would be right.
    """
    entries = _list(("hubs",), _keys((), values, ("hubs",)).get("hubs"))
    found = tuple(_hub(("hubs", str(n)), one) for n, one in enumerate(entries, 1))
    for n, hub in enumerate(found, 1):
        if hub.label in [other.label for other in found[: n - 1]]:
            raise BookError(("hubs", str(n), "label"), f"'{hub.label}' is another hub's.")
        if hub.form == "choose":
            raise BookError(("hubs", str(n), "form"), "a hub to choose can't be a page that asks.")
    return found


def _hub(place: tuple[str, ...], values: object) -> BookHub:
    said = {key: _text((*place, key), value) for key, value in _keys(place, values, HUB).items()}
    form = said.get("form", "resolved")
    if form not in FORMS:
        raise BookError(
            (*place, "form"),
            f"there is no '{form}'; there are {_list_of(FORMS)}.",
        )
    if not said.get("label"):
        raise BookError((*place, "label"), "say how readers know this hub.")
    url = said.get("url", "")
    if url or form not in ELSEWHERE:
        try:
            url = normal_hub(url)
        except LaunchError as error:
            raise BookError((*place, "url"), f"{error}.") from None
    return BookHub(said["label"], url, form)


def _content(values: object, found: Found) -> tuple[Content, str]:
    place = ("content",)
    said = _keys(place, {} if values is None else values, CONTENT)
    said = {key: _text((*place, key), value) for key, value in said.items()}
    repository = said.get("repository", found.repository)
    if not repository:
        raise BookError(
            (*place, "repository"),
            "name the repository of this book; git knows no remote of it.",
        )
    # The branch that somebody is on says nothing about another repository.
    ours = found if repository == found.repository or "repository" not in said else Found()
    ref = said.get("ref", ours.ref)
    subfolder = said.get("subfolder", found.subfolder).strip("/")
    try:
        Target(file=subfolder)
    except LaunchError as error:
        raise BookError((*place, "subfolder"), str(error)) from None
    try:
        return Content(repository, ref, said.get("folder", "")), subfolder
    except LaunchError as error:
        raise BookError((*place,), str(error)) from None


def _rule(place: tuple[str, ...], values: object, labels: list[str]) -> Rule:
    said = _keys(place, values, ("match", *CHOICES))
    match = _text((*place, "match"), said.pop("match", ""))
    if not match:
        raise BookError((*place, "match"), "name a page, or a pattern such as gpu/*.")
    return Rule(match, _parse_choice(place, said, labels))


def _parse_choice(place: tuple[str, ...], said: Mapping[str, Any], labels: list[str]) -> Choice:
    """Raises BookError."""
    choice: dict[str, Any] = {}
    for key, value in said.items():
        where = (*place, key)
        if key in ("join", "launch"):
            if not isinstance(value, bool):
                raise BookError(where, "write true or false.")
            choice[key] = value
        elif key == "environment":
            choice[key] = _launch(where, {key: value}).environment
        elif key == "hubs":
            choice[key] = tuple(_text(where, label) for label in _list(where, value))
            for label in choice[key]:
                if label not in labels:
                    raise BookError(
                        where,
                        f"there is no hub '{label}'; there are {_list_of(labels)}.",
                    )
        else:
            choice[key] = _text(where, value)
            part = {"target": {key: value}} if key in ("view", "file") else {key: value}
            _launch(where, part if value else {})
    return Choice(**choice)


def _launch(place: tuple[str, ...], values: Mapping[str, Any]) -> Launch:
    try:
        return from_values(values, "")
    except LaunchError as error:
        raise BookError(place, str(error).removeprefix(f".{place[-1]}").lstrip(".: ")) from None


def _keys(place: tuple[str, ...], values: object, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise BookError(place, f"write keys here: {_list_of(known)}.")
    for key in values:
        if key not in known:
            raise BookError(
                (*place, str(key)),
                f"there is no such key; there are {_list_of(known)}.",
            )
    return dict(values)


def _list(place: tuple[str, ...], values: object) -> list[Any]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise BookError(place, "write a list, each entry with a dash.")
    return values


def _text(place: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str):
        raise BookError(place, "write a text, with quotes where it looks like a number.")
    return value


def _list_of(names: Iterable[str]) -> str:
    return ", ".join(names)
