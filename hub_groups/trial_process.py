"""Rules tried in a process of their own, which can be stopped: `-m hub_groups.trial_process`.

A regular expression that somebody is typing can take forever, and no thread can be stopped in the
middle of one. Claims go there and back by pipes: they are never stored nor logged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from . import words
from .documents import FileError
from .rule_files import parse_rules_text
from .rules import RuleError, parse_rules
from .said import apply_rules
from .trial import ClaimsError, change_document, change_for, claims_of, document, read_claims
from .words import _

SECONDS = 5
"""How long rules may take. A login that takes longer is one that its user sees hanging."""

_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT")
"""Of our environment, which also holds what opens the hub."""
_AT_ONCE = threading.BoundedSemaphore(2)


class TrialError(ValueError):
    """Rules or claims that can't be used; the message says what, where, and what would be right.

    Attributes:
        of: "rules" or "claims".
    """

    def __init__(self, of: str, why: str) -> None:
        super().__init__(why)
        self.of = of


@dataclass(frozen=True)
class Question:
    """What is to be tried.

    Attributes:
        rules: YAML, or the list of a configuration.
        claims: JSON, or what it stands for.
        existing: groups that there are, for rules that create none.
        before: what the last login gave, by group the role; None where nobody is compared.
        parents: whether members of `a/b` are in `a` too.
    """

    rules: str | list[Any]
    claims: str | dict[str, Any]
    existing: Collection[str] = ()
    before: Mapping[str, str] | None = None
    parents: bool = False


def try_rules(asked: Question) -> dict[str, Any]:
    """What the rules make of the claims: `trial.document`, with `assumed` and `user`, and with
    `change` where somebody is compared. Blocks, for `SECONDS` at most.

    Raises:
        TrialError
    """
    question = {
        "rules": asked.rules,
        "claims": asked.claims,
        "existing": list(asked.existing),
        "before": None if asked.before is None else dict(asked.before),
        "parents": asked.parents,
        "language": words.language(),
    }
    with _AT_ONCE:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "hub_groups.trial_process"],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=SECONDS,
                env={name: os.environ[name] for name in _KEPT if name in os.environ}
                | {"PYTHONIOENCODING": "utf-8:surrogatepass"},
            )
        except subprocess.TimeoutExpired:
            text = _(
                "Rules: with these claims they take longer than {n} seconds, and so would a login. "
                "Write `match` so that each part can only match in one way, as in ([^/]+)/.*"
            )
            raise TrialError("rules", text.format(n=SECONDS)) from None
    if done.returncode:  # its words may have claims in them, so nobody gets them
        raise TrialError("rules", _("Rules: they can't be tried on these claims."))
    answer: dict[str, Any] = json.loads(done.stdout)
    if "wrong" in answer:
        raise TrialError(answer["of"], answer["wrong"])
    return answer


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """In the process of its own."""
    words.speak(question["language"])
    given, pasted = question["rules"], question["claims"]
    try:
        rules = (
            parse_rules_text(given, _("Rules")) if isinstance(given, str) else parse_rules(given)
        )
    except (FileError, RuleError) as error:
        return {"of": "rules", "wrong": str(error)}
    try:
        claims = read_claims(pasted) if isinstance(pasted, str) else claims_of(pasted)
    except ClaimsError as error:
        return {"of": "claims", "wrong": str(error)}
    said = apply_rules(rules, claims.model, frozenset(question["existing"]))
    found = {**document(said), "assumed": claims.assumed, "user": str(claims.model.get("name", ""))}
    if question["before"] is not None:
        change = change_for(said, question["before"], question["parents"])
        found["change"] = change_document(change)
    return found


def main() -> None:
    """Read a question, write the answer."""
    question = json.loads(sys.stdin.read())
    sys.stdout.write(json.dumps(answer(question)))


if __name__ == "__main__":
    main()
