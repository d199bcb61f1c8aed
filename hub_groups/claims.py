"""What a login says about groups, in the hub: by its rules, or by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .config import HubGroups
from .documents import FileError
from .memberships import MEMBER
from .record import RulesText, rules_text
from .rule_files import parse_rules_text, read_rules
from .rules import Rule, RuleError, parse_rules
from .said import apply_rules, with_parents
from .store import GroupStore

log = logging.getLogger("JupyterHub.groups")

After = Callable[[Mapping[str, str]], Mapping[str, str]]
"""From the groups and roles of a login before to those now."""


class Rules:
    """Those that hold: of the hub's configuration, or as admins wrote them last."""

    def __init__(self, store: GroupStore, settings: HubGroups) -> None:
        self._store, self._configured = store, settings.rules
        self._known: tuple[object, tuple[Rule, ...] | None] = (None, ())

    def now(self, written: int) -> tuple[Rule, ...] | None:
        """None where they can't be used, which is logged once. Blocks.

        Args:
            written: the version of those that admins have written.
        """
        version, read = self._latest(written)
        if version != self._known[0]:
            try:
                self._known = version, read()
            except (FileError, RuleError) as error:
                log.error("Rules can't be used, logins change no groups: %s", error)
                self._known = version, None
        return self._known[1]

    def _latest(self, written: int) -> tuple[object, Callable[[], tuple[Rule, ...]]]:
        if isinstance(self._configured, str) and self._configured:
            path = Path(self._configured)
            try:
                return path.stat().st_mtime_ns, lambda: read_rules(path)
            except OSError as error:
                return str(error), lambda: read_rules(path)
        if self._configured:
            return "configured", lambda: parse_rules(list(self._configured))
        return written, lambda: _parsed(rules_text(self._store))


def _parsed(found: RulesText) -> tuple[Rule, ...]:
    return parse_rules_text(found.text, "the rules") if found.text.strip() else ()


def by_rules(
    rules: tuple[Rule, ...] | None,
    model: Mapping[str, Any],
    exists: Callable[[str], bool],
    parents: bool,
) -> After | None:
    """What the rules make of a login; None where that is nothing."""
    if rules is None or model.get("auth_state") is None:  # a refresh that brought nothing new
        return None
    said = apply_rules(rules, model, exists)
    for sentence in said.left_out:
        log.warning("The login of %s: %s", model["name"], sentence)
    for sentence in said.unsaid:
        log.warning("%s keeps the groups of the last login: %s", model["name"], sentence)

    def after(before: Mapping[str, str]) -> Mapping[str, str]:
        found = said.after(before)
        return with_parents(found) if parents else found

    return after


def by_itself(model: Mapping[str, Any], claim: str, absent_is_none: bool = False) -> After | None:
    """What a login says itself; None where it says nothing.

    Args:
        claim: where an authenticator takes groups from, which gives none where that is missing.
        absent_is_none: whether that means that there are none.
    """
    groups = model.get("groups")
    if groups is None:
        return None
    if not groups and claim and not absent_is_none and _is_missing(model.get("auth_state"), claim):
        log.warning("The login of %s has no %s: its groups stay", model["name"], claim)
        return None
    said = dict.fromkeys(groups, MEMBER)
    return lambda _before: said


def _is_missing(found: Any, claim: str) -> bool:
    for part in claim.split("."):
        if not isinstance(found, Mapping) or found.get(part) is None:
            return True
        found = found[part]
    return False


def only_logged(user: str, after: After) -> After:
    """Says what it would change, and changes nothing."""

    def same(before: Mapping[str, str]) -> Mapping[str, str]:
        now = after(before)
        new = sorted(f"{group} ({role})" for group, role in now.items() - before.items())
        gone = sorted(before.keys() - now.keys())
        log.info("Dry run: the login of %s would give %s and take %s", user, new, gone)
        return before

    return same
