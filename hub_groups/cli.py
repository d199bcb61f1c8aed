"""The command line: `hub-groups test-rules | presets | sources`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from .commands import exit_code
from .database import missing_file, without_password
from .documents import FileError, read_text
from .presets import PRESETS
from .record import Run, last_login, runs
from .rule_files import read_rules
from .rules import Rule, parse_rules
from .said import Said, Step, apply_rules
from .store import GroupStore, StoreError, open_store
from .trial import MODEL, Change, change_document, change_for, document

DONE, UNUSABLE, USAGE, UNSAID = 0, 1, 2, 3
"""Exit codes: done; a file or a source can't be used; wrong usage; some claim is missing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        An exit code: DONE, UNUSABLE or UNSAID. Wrong usage exits with USAGE.
    """
    return exit_code(_parser().parse_args(arguments), UNUSABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub-groups",
        description="Where the groups of a JupyterHub come from.",
        epilog="Exit codes: 0 done, 1 a file or a source can't be used, 2 wrong usage, "
        "3 some claim of `test-rules` is missing.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "say what a login with these claims would do, rule by rule"
    test = commands.add_parser("test-rules", help=text, description=text)
    test.set_defaults(run=_test)
    test.add_argument(
        "--claims",
        type=Path,
        required=True,
        help="JSON with name, groups and auth_state, as the hub's API gives it: "
        "GET /hub/api/users/NAME",
    )
    given = test.add_mutually_exclusive_group(required=True)
    given.add_argument("--rules", type=Path, help="a file of rules, in YAML or JSON")
    given.add_argument(
        "--preset", action="append", type=_preset, help="the rules of a preset; repeatable"
    )
    test.add_argument("--user", help="the name in the claims is taken to be this")
    test.add_argument(
        "--existing",
        action="append",
        metavar="GROUP",
        help="a group that there is, for rules with create: false; repeatable",
    )
    test.add_argument("--json", action="store_true", help="for programs")
    test.add_argument(
        "--db",
        metavar="URL",
        help="c.HubGroups.db_url of the hub: what the login would change in the memberships that "
        "the last one of that user left",
    )
    test.add_argument(
        "--parents", action="store_true", help="as with c.HubGroups.parents; for --db"
    )
    text = "how the sources of memberships are doing; the exit code is 1 where one failed"
    seen = commands.add_parser("sources", help=text, description=text)
    seen.set_defaults(run=_sources)
    seen.add_argument("--db", metavar="URL", required=True, help="c.HubGroups.db_url of the hub")
    seen.add_argument("--json", action="store_true", help="for programs")
    text = "the rules for well-known providers, as YAML to copy"
    presets = commands.add_parser("presets", help=text, description=text)
    presets.set_defaults(run=_presets)
    presets.add_argument("name", nargs="*", type=_preset, help="only these")
    return parser


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise argparse.ArgumentTypeError(f"there is no '{name}'; there are: {', '.join(PRESETS)}")
    return name


def _test(options: argparse.Namespace) -> int:
    model = _claims(options.claims)
    if options.user:
        model["name"] = options.user
    rules = (
        read_rules(options.rules)
        if options.rules
        else parse_rules([{"preset": name} for name in options.preset])
    )
    said = apply_rules(rules, model, options.existing or ())
    user = str(model.get("name", ""))
    change, source = _change(options, said, user) if options.db else (None, "")
    if options.json:
        more = {} if change is None else {"source": source, "change": change_document(change)}
        print(json.dumps({**document(said), **more}))
    else:
        print(_text(said, user) + ("" if change is None else _changes(change, user, source)))
    return UNSAID if said.unsaid else DONE


def _change(options: argparse.Namespace, said: Said, user: str) -> tuple[Change, str]:
    source, before = last_login(_store(options.db), user)
    return change_for(said, before, options.parents), source


def _changes(change: Change, user: str, source: str) -> str:
    after = f"after the last login ({source})" if source else "; no login is known yet"
    lines = ["", "", f"For {_shown(user)}, {after}:" if source else f"For {_shown(user)}{after}:"]
    lines += [f"  + {_shown(group)} ({role})" for group, role in change.added.items()]
    lines += [f"  - {_shown(group)} ({role})" for group, role in change.removed.items()]
    lines += [f"  now {role} of {_shown(group)}" for group, role in change.changed.items()]
    return "\n".join([*lines, f"  the same: {_count(change.same, 'group')}"])


def _store(url: str) -> GroupStore:
    """The hub's database. Raises FileError: also where there is none, which would be made."""
    try:
        if missing := missing_file(url):
            raise FileError(f"{Path(missing).absolute()}: there is no such database.")
        store = open_store(url)
        store.open()
        return store
    except StoreError as error:
        raise FileError(f"{without_password(url)}: {error.orig or error}.") from None
    except ValueError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"--db: {error}.") from None


def _sources(options: argparse.Namespace) -> int:
    found = sorted(runs(_store(options.db)).values(), key=lambda one: one.source)
    if options.json:
        print(json.dumps([asdict(one) for one in found]))
    else:
        print("\n".join(map(_run, found)) or "No roster and no directory has been read yet.")
    return UNUSABLE if any(one.problem for one in found) else DONE


def _run(one: Run) -> str:
    at = datetime.fromtimestamp(one.at, timezone.utc)
    if one.problem:
        how = f"failed: {_shown(one.problem)}"
    elif one.held:
        how = f"waits for an admin on the groups pages: {one.held}"
    else:
        how = f"good: {one.added:,} new, {one.removed:,} gone, {one.changed:,} with another role"
    return f"{_shown(one.source)}  {at:%Y-%m-%d %H:%M} UTC, {_count(one.size, 'membership')}, {how}"


def _claims(file: Path) -> dict[str, Any]:
    try:
        model = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise FileError(f"{file}, line {error.lineno}: this is not JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{file}: this is not JSON that can be read.") from None
    if not isinstance(model, dict) or not set(MODEL) & set(model):
        raise FileError(
            f"{file}: these are not the claims of a login; they are an object with "
            f'{", ".join(MODEL)}, such as: {{"name": "ada", "auth_state": {{...}}}}'
        )
    return model


def _text(said: Said, user: str) -> str:
    lines = [
        f"{_shown(user) or 'This login'} is in {_count(len(said.groups), 'group')} by these rules."
    ]
    width = max((len(group) for group in said.groups), default=0)
    lines += [f"  {group.ljust(width)}  {role}" for group, role in sorted(said.groups.items())]
    for step in said.steps:
        lines += ["", *_step(step)]
    if said.unsaid:
        lines += ["", "Not all is said, so nobody loses what an earlier login gave:"]
        lines += [f"  {sentence}" for sentence in said.unsaid]
    elif said.keeps:
        lines += ["", "This login tells a part only (adds), so what earlier ones gave stays."]
    return "\n".join(lines)


def _step(step: Step) -> list[str]:
    lines = [f"Rule {step.number}: {step.rule.claim}"]
    if step.unsaid:
        return [*lines, "  says nothing; see below"]
    if step.skipped:
        return [*lines, f"  does not hold: {step.skipped}"]
    if not step.outcomes:
        return [*lines, "  says that there are none"]
    for outcome in step.outcomes:
        became = f"{outcome.group} ({step.rule.role})" if outcome.group else f"no: {outcome.why}"
        lines.append(f"  {_shown(outcome.value)} -> {became}")
    return lines


def _shown(value: str) -> str:
    """On one line of a terminal, whatever the claim holds."""
    return value if value.isprintable() else repr(value)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _presets(options: argparse.Namespace) -> int:
    shown = []
    for name in options.name or PRESETS:
        preset = PRESETS[name]
        rules = yaml.safe_dump(
            [_plain(rule) for rule in preset.rules], sort_keys=False, width=10_000
        )
        shown.append(f"# - preset: {name}\n# {preset.needs}\n{rules}")
    print("\n".join(shown), end="")
    return DONE


def _plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    """With the keys in the order in which they are documented."""
    return {key: rule[key] for key in Rule.__dataclass_fields__ if key in rule}


if __name__ == "__main__":
    sys.exit(main())
