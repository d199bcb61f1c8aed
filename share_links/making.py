"""A link as people fill it in on a form. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hub_groups.names import PeopleError, parse_names, read_end
from hub_groups.words import _

from .addresses import LaunchError
from .launch import LAB, URL, Content, Environment, Launch, Target, environment_of
from .links import Terms

FIELDS = (
    *("repository", "ref", "file", "view", "path", "choice", "profile", "image", "group", "join"),
    *("env_repository", "env_ref"),
    *("for", "people", "until", "label"),
)
ANYBODY, GROUP, PEOPLE = "anybody", "group", "people"
"""For whom a link is."""

MOST_PEOPLE = 100


@dataclass(frozen=True)
class Made:
    """What a form asks for."""

    launch: Launch
    terms: Terms
    label: str


def read_form(typed: Mapping[str, str], choices: Mapping[str, Mapping[str, str]], at: int) -> Made:
    """What somebody has typed.

    Args:
        typed: by FIELDS; what is missing is empty.
        choices: the fields of the hub's form, by what the hub offers.
        at: the present, in seconds since 1970, UTC.

    Raises:
        LaunchError: it can't be; says what would be right.
    """
    said = {name: typed.get(name, "").strip() for name in FIELDS}
    if said["choice"] and said["choice"] not in choices:
        raise LaunchError(_("This hub does not offer '{name}'.").format(name=said["choice"]))
    env = environment_of(choices[said["choice"]]) if said["choice"] else Environment()
    if not env:
        env = Environment(profile=said["profile"], image=said["image"])
    env = replace(env, repository=said["env_repository"], ref=said["env_ref"])
    content = Content(said["repository"], said["ref"]) if said["repository"] else None
    if said["ref"] and not content:
        raise LaunchError(
            _("The branch '{branch}' needs a repository that it is in.").format(branch=said["ref"])
        )
    view = URL if said["path"] else said["view"] or LAB
    target = Target(view, said["file"], said["path"])
    join = bool(said["join"])
    return Made(Launch(content, env, said["group"], join, target), _terms(said, at), said["label"])


def _terms(said: Mapping[str, str], at: int) -> Terms:
    audience = said["for"] or ANYBODY
    try:
        people = [one.candidates[0] for one in parse_names(said["people"])]
    except PeopleError as error:
        raise LaunchError(str(error)) from None
    if audience == PEOPLE and not people:
        raise LaunchError(_("Say for whom the link is: user names, with commas between them."))
    if audience == GROUP and not said["group"]:
        raise LaunchError(_("Choose the group whose members the link is for."))
    users, group = (people if audience == PEOPLE else []), said["group"]
    return read_audience(users, group if audience == GROUP else "", said["until"], at)


def read_audience(users: Sequence[str], group: str, until: str, at: int) -> Terms:
    """For whom a link is, and how long.

    Args:
        until: a day, or an instant (`names.read_end`).

    Raises:
        LaunchError: it can't be; says what would be right.
    """
    if len(users) > MOST_PEOPLE:
        raise LaunchError(
            _("A link is for {most} people at most. Make it for a group.").format(most=MOST_PEOPLE)
        )
    try:
        return Terms(read_end(until, at), tuple(users), group)
    except PeopleError as error:
        raise LaunchError(str(error)) from None
