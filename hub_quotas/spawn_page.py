"""The part of the spawn page that is ours: what is left, for how long, and which group pays."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hub_groups.words import _, language

from .decision import Check, Decision
from .home_storage import FULL_SHARE, WARN_SHARE
from .limits import CHARGED_GROUP, SERVER, Limit
from .messages import headline, say_end, say_group, short_reason, title
from .off_loop import off_loop
from .policy_store import now
from .quantities import say_duration
from .requests import Request
from .store import QuotaStore
from .transaction import LedgerError
from .usage import shortest_ends

_MOST_BARS = 6

Choices = list[tuple[str, Request]]


async def what_is_left(spawner: Any, groups: Sequence[str], chosen: str | None, form: bool) -> str:
    """HTML to stand above the admin's own form. Never fails: a page that can't say what is left
    still starts a server.

    Args:
        form: whether there is one: how large a server is that it makes, nobody knows before.
    """
    field = _group_choice(groups, chosen) if len(groups) > 1 else ""
    try:
        choices: Choices = await spawner.choices()
        store = spawner.quota_settings.store
        unknown = spawner.quota_settings.request({}, {})
        choices = [(name, asked if name or not form else unknown) for name, asked in choices]
        requests = [asked for _, asked in choices]
        explained = await off_loop(_explain, store, spawner.user.name, groups, requests)
    except LedgerError:
        said = html.escape(_("What is left can't be told now."))
        return f'<p class="alert alert-warning">{said}</p>{field}'
    except asyncio.CancelledError:
        raise
    except Exception:
        spawner.log.exception("What is left can't be shown on the spawn page")
        return field
    names = [name for name, _ in choices]
    shown = "".join(
        _group(decisions, names, ends, heading=len(groups) > 1, form=form)
        for decisions, ends in explained
        if ends or any(decision.checks for decision in decisions)
    )
    heading = html.escape(_("What is left"))
    section = f'<section class="mb-3" aria-label="{heading}" lang="{language()}">'
    return f"{section}{shown}</section>{field}"


def _explain(
    open_store: Callable[[], QuotaStore], user: str, groups: Sequence[str], requests: list[Request]
) -> list[tuple[list[Decision], Sequence[Limit]]]:
    """Group by group, in the order in which they are tried: what would be said of each request,
    and when a server would be stopped."""
    store = open_store()
    policy = store.policy()
    order = policy.in_order(groups)
    ends = [shortest_ends(policy.limits_for(group, user, now(), store.zone)) for group in order]
    return list(zip(store.explain_all(user, order, requests), ends, strict=True))


def start_again() -> str:
    return f"<p>{html.escape(_('Start it again?'))}</p>"


def _group(
    decisions: Sequence[Decision],
    names: Sequence[str],
    ends: Sequence[Limit],
    heading: bool,
    form: bool,
) -> str:
    """One group: what is left of its limits, and what of the choices would start."""
    first = decisions[0]
    parts = [f'<h2 class="h6 fw-bold">{html.escape(first.group)}</h2>'] if heading else []
    shared = [c for c in first.checks if c.limit.scope != SERVER and c.limit.amount]
    if shared:
        rows = "".join(_bar(check, first.group) for check in shared[:_MOST_BARS])
        parts.append(f'<ul class="list-unstyled mb-2">{rows}</ul>')
    known = [(_known(one, name, form), name) for one, name in zip(decisions, names, strict=True)]
    rows = "".join(_verdict(one, name) for one, name in known if one)
    rows += "".join(
        f'<li class="text-body-secondary">{html.escape(say_end(limit))}</li>' for limit in ends
    )
    parts.append(f'<ul class="list-unstyled mb-0">{rows}</ul>')
    return f'<div class="border rounded p-3 mb-2">{"".join(parts)}</div>'


def _known(decision: Decision, name: str, form: bool) -> Decision | None:
    """What can be said of a choice, or None: how large a server is that the admin's form makes,
    nobody knows before."""
    if name or not form:
        return decision
    sized = replace(decision, checks=tuple(c for c in decision.checks if c.asked is not None))
    return None if sized.allowed else sized


def _bar(check: Check, group: str) -> str:
    most, said = check.limit.amount, html.escape(headline(check))
    text = _("{limit}: {use}")
    if check.limit.group != group:
        text = _("{limit} ({group}): {use}")
    above = say_group(check.limit.group)
    line = html.escape(text.format(limit=title(check), group=above, use=headline(check)))
    return (
        '<li class="d-flex align-items-center gap-2">'
        f'<meter class="flex-shrink-0" max="{most}" value="{check.used}" low="{most * WARN_SHARE}"'
        f' high="{most * FULL_SHARE}" optimum="0" aria-label="{said}"></meter>'
        f"<span>{line}</span></li>"
    )


def _verdict(decision: Decision, name: str) -> str:
    """`Small: would start; what is left lasts 3 h at least`, or why it would not."""
    what = f"<strong>{html.escape(name)}</strong>: " if name else ""
    mark, style = ("✓", "") if decision.allowed else ("✕", " text-danger-emphasis")
    said = html.escape(_said(decision, name))
    return (
        f'<li class="d-flex gap-2{style}"><span aria-hidden="true">{mark}</span>'
        f"<span>{what}{said}</span></li>"
    )


def _said(decision: Decision, name: str) -> str:
    if not decision.allowed:
        return short_reason(decision)
    if decision.lasts is None:
        return _("would start") if name else _("A server would start")
    text = _("A server would start; what is left lasts {length} at least")
    if name:
        text = _("would start; what is left lasts {length} at least")
    return text.format(length=say_duration(decision.lasts))


def _group_choice(groups: Sequence[str], chosen: str | None) -> str:
    options = [
        f'<option value="{html.escape(group)}"{" selected" if group == chosen else ""}>'
        f"{html.escape(group)}</option>"
        for group in groups
    ]
    label = html.escape(_("Charge to"))
    first = html.escape(_("The first of my groups that has room"))
    return (
        f'<div class="mb-3" lang="{language()}">'
        f'<label class="form-label" for="{CHARGED_GROUP}">{label}</label>'
        f'<select class="form-select" id="{CHARGED_GROUP}" name="{CHARGED_GROUP}">'
        f'<option value="">{first}</option>{"".join(options)}'
        "</select></div>"
    )
