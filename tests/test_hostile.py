"""Hostile input in every place that takes any: a clear refusal, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import quote

import httpx
import pytest
import yaml

from hub_quotas.policies import By
from hub_quotas.policy import parse_policy, print_policy

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raise %}",
    "${jndi:ldap://x/y}",
    "'; DROP TABLE session; --",
    "' OR '1'='1",
    "1; SELECT pg_sleep(9)",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "%2e%2e%2f%00",
    "\x00",
    "a\x00b",
    "x\r\nSet-Cookie: hostile=1",
    "x\nX-Hostile: 1",
    "\u202egnp.exe",
    "Z\u0351\u0363a\u0352\u0367lgo",
    "\U0001f4a5" * 50,
    "A" * 100_000,
    "[" * 10_000,
    "&a [*a,*a]",
    "=cmd|' /C calc'!A0",
    "NaN",
    "-1",
    "1e999",
    "9" * 400,
    "true",
    "nul",
    "\u00b2",  # a digit, but no number
    "a\rb",
    "\r\r,\r",
)

POLICY = "groups: {course: {limits: {member.servers: 1}}}"


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("roles")
    hub.ledger().edit(lambda _: parse_policy(yaml.safe_load(POLICY)), By("tests", "tests"))
    return hub


def places(text: str):
    """Where it goes: method, address, and what is sent. Nothing of this could be right."""
    part = quote(text[:2000], safe="").replace("%2F", "%252F")  # else it is another address
    bad = {"limits": {"member.nothing": 1}}
    yield "GET", f"api/groups/{part}", {}
    yield "GET", f"api/groups/{part}/members", {}
    yield "PUT", f"api/groups/{part}", {"json": bad}
    yield "PATCH", f"api/groups/{part}/limits", {"json": bad}
    yield "DELETE", f"api/groups/course/servers/{part}", {}
    yield "DELETE", f"api/plans/{part}", {}
    yield "POST", f"api/changes/{part}/undo", {}
    yield "GET", "api/groups", {"params": {"sort": text[:4000]}}
    yield "GET", "api/groups", {"params": {"limit": text[:4000]}}
    yield "GET", "api/changes", {"params": {"group": text[:400], "before": "x"}}
    yield "PATCH", "api/groups/course/limits", {"json": {"limits": {text: "1"}}}
    yield "PATCH", "api/groups/course/limits", {"json": {"limits": {"group.cost": text}}}
    yield "PUT", "api/groups/course", {"json": {"parent": text, "limits": {"x": text}}}
    yield "PUT", "api/prices", {"json": {"prices": [{"since": text, "cpu": text}]}}
    yield "PUT", "api/policy", {"json": {"policy": {text: text}}}
    yield "POST", "api/policy/table", {"json": {"table": f"{text},plan\nx,y"}}
    yield "PATCH", "api/groups/course/limits", {"content": text.encode("utf-8", "replace")}
    yield "POST", "groups/course", {"data": {"new_key": text, "new_amount": text}}
    yield "POST", "groups/course", {"data": {"limit:group.cost": text, "version": "1"}}
    yield "POST", "plans", {"data": {"plan": text, "new_key": "x", "new_amount": text}}
    yield "POST", "prices", {"data": {"since": text, "cpu": text}}
    yield "POST", "policy", {"data": {"policy": f"groups: {text}"}}
    yield "POST", "audit", {"data": {"version": text}}
    yield "POST", "api/policy/table", {"json": {"table": f"group,priority\ncourse,{text}x"}}
    yield "GET", f"groups/{part}", {}
    yield "GET", "audit", {"params": {"before": text[:4000]}}
    yield "GET", "groups", {"params": {"page": text[:4000]}}
    yield "GET", "audit", {"params": {"group": text[:400], "before": f"x{text[:400]}"}}


def test_hostile_input_leaves_no_trace_but_a_clear_refusal(hub):
    before = print_policy(hub.ledger().policy())
    token = {"Authorization": f"token {hub.settings['token']}b"}
    counts: Counter[int] = Counter()
    with httpx.Client(base_url=f"{hub.base}services/quotas/", headers=token, timeout=60) as robot:
        for text in HOSTILE:
            for method, address, sent in places(text):
                answer = robot.request(method, address, **sent)
                where = (method, address[:60], text[:30], answer.status_code, answer.text[-300:])
                if answer.status_code in (200, 302, 303):  # a form that says nothing at all
                    assert not text.strip("\x00"), where
                    continue
                assert 400 <= answer.status_code < 500, where
                assert answer.status_code != 429, where
                assert "hostile" not in answer.headers.get("Set-Cookie", ""), where
                assert "X-Hostile" not in answer.headers, where
                assert len(answer.text) < 250_000, where
                kind = answer.headers["Content-Type"]
                if kind.startswith("text/html"):
                    assert text == "-1" or text not in answer.text or is_plain(text), where
                else:
                    assert kind == "application/problem+json", where
                    assert json.loads(answer.text)["detail"], where
                counts[answer.status_code] += 1
    assert sum(counts.values()) >= 500
    assert print_policy(hub.ledger().policy()) == before
    assert "Traceback" not in hub.log


def is_plain(text: str) -> bool:
    """What may stand in a page as it is: it has no sign that means anything there."""
    return not any(sign in text for sign in "<>\"'&")


@pytest.mark.parametrize("name", ["Accept-Language", "X-Forwarded-For", "If-None-Match", "Cookie"])
def test_hostile_headers_change_nothing(hub, name):
    token = {"Authorization": f"token {hub.settings['token']}b"}
    for text in HOSTILE:
        value = text.encode("ascii", "replace").replace(b"\r", b"").replace(b"\n", b"")
        value = value.replace(b"\x00", b"")[:8000]
        answer = httpx.get(
            f"{hub.base}services/quotas/groups", headers={**token, name: value}, timeout=60
        )
        assert answer.status_code in (200, 304, 400, 431), (text[:40], answer.status_code)
        assert "<script>alert" not in answer.text
