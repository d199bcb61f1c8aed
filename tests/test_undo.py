"""Taking changes back, on the page of changes."""

from __future__ import annotations

import re

import pytest
from test_admin_pages import TREE, held, policy, send, undoable


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub("formless", slow_spawn_timeout=12)


def test_undo_is_offered_where_it_works_and_else_it_is_said_what_stands_in_the_way(hub):
    policy(hub, TREE)
    admin, address = hub.login("admin"), "services/quotas/audit?group=arts"

    def change(**form: str) -> int:
        assert send(admin, "groups/arts", **form).status_code == 200
        return hub.ledger().audit("arts")[0].version

    def page() -> str:
        return re.sub(r"\s+", " ", re.sub("</?time[^>]*>", "", admin.get(address).text))

    first = change(new_key="group.cpu", new_amount="2")
    second = change(**{"limit:group.cpu": "3"})
    shown = page()
    assert second in undoable(shown) and first not in undoable(shown)
    assert shown.count("changed again by admin, just now") >= 1
    assert send(admin, "audit", version=str(second)).status_code == 200
    assert first in undoable(page()), "what it has made holds again"
    assert send(admin, "audit", version=str(first)).status_code == 200
    assert "limits" not in held(hub)["groups"]["arts"]

    together = "{groups: {arts: {limits: {group.gpu: 1}}, lab: {}}}"
    policy(hub, together)
    both = hub.ledger().audit("arts")[0].version
    assert both in undoable(page())
    send(admin, "groups/lab", new_key="group.cpu", new_amount="2")
    shown = page()
    assert both not in undoable(shown)
    assert "lab: changed again by admin, just now" in shown
    policy(hub, TREE)
