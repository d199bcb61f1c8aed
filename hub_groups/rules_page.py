"""The rules for logins: written, and tried on claims that somebody pastes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tornado import web

from .access import Who
from .desk import Desk, GroupsPage
from .documents import FileError, read_text
from .presets import PRESETS
from .record import Conflict, RulesText, last_login, rules_text, save_rules
from .rule_files import parse_rules_text
from .store import GroupStore
from .trial import ClaimsError, read_claims
from .trial_process import Question, TrialError, try_rules
from .web import Context, Routes
from .words import _

LARGEST = 200_000
"""Characters of rules, or of claims."""
EXAMPLES = {
    "rules": "- preset: keycloak",
    "claims": '{"name": "ada", "auth_state": {"oauth_user": {"groups": ["/geo"]}}}',
}
"""Shown in fields where nothing has been typed yet."""


@dataclass(frozen=True)
class Configured:
    """Rules of the hub's configuration, which win over those that are written here.

    Attributes:
        place: where they are: a file, or the setting.
        problem: why they can't be shown; empty where they can.
    """

    place: str
    text: str
    problem: str = ""


def configured_rules(settings: Mapping[str, Any]) -> Configured | None:
    """Where the configuration has any. Blocks."""
    rules = settings["rules"]
    if isinstance(rules, str) and rules:
        try:
            return Configured(rules, read_text(Path(rules)))
        except FileError as error:
            return Configured(rules, "", str(error))
    if rules:
        text = yaml.safe_dump(list(rules), sort_keys=False, allow_unicode=True, width=100)
        return Configured("c.HubGroups.rules", text)
    return None


def rules_now(store: GroupStore, settings: Mapping[str, Any]) -> tuple[str, Configured | None]:
    """The rules that hold, and where they are from. Blocks."""
    found = configured_rules(settings)
    return (found.text if found else rules_text(store).text), found


@dataclass(frozen=True)
class Tried:
    """What rules made of claims.

    Attributes:
        answer: see `trial_process.try_rules`.
        user: who is compared; empty for nobody.
        source: the login of theirs that it is compared with; empty where none is known.
    """

    answer: dict[str, Any]
    user: str = ""
    source: str = ""


async def trial(
    desk: Desk, rules: str | list[Any], claims: str | dict[str, Any], user: str
) -> Tried:
    """Try rules on claims, and compare with somebody's last login.

    Args:
        user: whom to compare with; empty for the user of the claims.

    Raises:
        TrialError
    """
    for of, text in (("rules", rules), ("claims", claims)):
        if isinstance(text, str) and len(text) > LARGEST:
            raise TrialError(of, _("That is longer than {n} characters.").format(n=f"{LARGEST:,}"))
    if not user and isinstance(claims, str):
        try:
            user = str(read_claims(claims).model.get("name", ""))
        except ClaimsError as error:
            raise TrialError("claims", str(error)) from None
    elif not user and isinstance(claims, dict):
        user = str(claims.get("name", ""))
    user = user.strip()[:255]
    source, before = await desk.ask(last_login, desk.store, user) if user else ("", {})
    # Only `create: false` asks for them, and a hub may have very many.
    existing = await desk.group_names() if "create" in str(rules) else []
    asked = Question(
        rules, claims, existing, before if user else None, bool(desk.context.settings["parents"])
    )
    return Tried(await desk.ask(try_rules, asked), user, source)


def write_rules(desk: Desk, text: str, expected: int) -> None:
    """Check rules and save them. Blocks.

    Raises:
        FileError: they can't be used, with the line.
        Conflict: somebody else has changed them.
        NotHere: the configuration has rules.
    """
    if configured_rules(desk.context.settings):
        raise NotHere(say_configured())
    if len(text) > LARGEST:
        raise FileError(_("That is longer than {n} characters.").format(n=f"{LARGEST:,}"))
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        raise FileError(_("Rules: this is not YAML that can be read."))
    if text.strip():
        parse_rules_text(text, _("Rules"))
    by = desk.by()
    save_rules(desk.store, text, expected, by.who, by.via)


class NotHere(ValueError):
    """The rules are those of the configuration."""


def say_configured() -> str:
    return _("The rules are set in the hub's configuration, and are changed there.")


def with_preset(text: str, name: str) -> str:
    """Rules with those of a preset behind them, as one would write them."""
    about = f"# {PRESETS[name].needs}\n- preset: {name}\n"
    return f"{text.rstrip()}\n{about}" if text.strip() else about


class RulesPage(GroupsPage):
    """The rules, and what they would do."""

    who = Who.READS
    who_changes = Who.READS  # readers try rules; who saves them is asked below

    async def get(self) -> None:
        await self._show_rules()

    async def post(self) -> None:
        """Save, insert a preset, or try: what is typed while somebody looks on only tries."""
        action = self.get_body_argument("action", "try")
        text = self.get_body_argument("rules", "", strip=False)
        if action == "preset":
            name = self.get_body_argument("preset", "")
            if name not in PRESETS:
                raise web.HTTPError(400, _("There is no such preset."))
            await self._show_rules(text=with_preset(text, name))
            return
        if action == "save":
            await self._save(text)
            return
        tried, wrong = await self._tried(text)
        if wrong:
            self.set_status(400)
        await self._show_rules(text=text, tried=tried, trial_wrong=wrong)

    async def _save(self, text: str) -> None:
        if refused := self.allowed(Who.ADMIN, ""):
            raise web.HTTPError(refused[0], refused[1])
        sent = self.get_body_argument("version", "")
        version = int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 10 else -1
        try:
            await self.ask(write_rules, self, text, version)
        except (FileError, NotHere) as error:
            self.set_status(400)
            await self._show_rules(text=text, wrong=str(error))
        except Conflict:
            self.set_status(409)
            await self._show_rules(text=text, wrong=say_conflict())
        else:
            self.done(_("Saved. The rules hold from the next login on."))

    async def _tried(self, text: str) -> tuple[Tried | None, str]:
        claims = self.get_body_argument("claims", "")
        if not claims.strip():
            try:
                parse_rules_text(text, _("Rules")) if text.strip() else None
            except FileError as error:
                return None, str(error)
            return None, ""
        try:
            user = self.get_body_argument("user", "")
            return await trial(self, text if text.strip() else [], claims, user), ""
        except TrialError as error:
            return None, str(error)

    async def _show_rules(
        self,
        text: str | None = None,
        tried: Tried | None = None,
        trial_wrong: str = "",
        wrong: str = "",
    ) -> None:
        held: RulesText = await self.ask(rules_text, self.store)
        configured = await self.ask(configured_rules, self.context.settings)
        now = configured.text if configured else held.text
        self.show(
            "rules.html",
            text=now if text is None else text,
            held=held,
            configured=configured,
            presets=PRESETS,
            examples=EXAMPLES,
            claims=self.get_body_argument("claims", "", strip=False)[:LARGEST],
            user=self.get_body_argument("user", "")[:255],
            tried=tried,
            trial_wrong=trial_wrong,
            wrong=wrong,
        )


def say_conflict() -> str:
    return _(
        "Somebody else has saved rules since you opened this page. Yours are still below: open the "
        "page once more in another tab, and put both together."
    )


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [(f"{context.prefix}rules", RulesPage, shared)]
