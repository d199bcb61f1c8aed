"""What other limits would have refused, asked of a real hub by a program."""

from __future__ import annotations

import httpx
import pytest
import yaml

from hub_quotas.policy import parse_policy
from hub_quotas.sessions import new_id

POLICY = """
plans: {small: {limits: {member.servers: 4}}}
groups:
  science: {limits: {group.cpu: 8}, managers: [dean]}
  science/geo: {plan: small, managers: [ada]}
  arts: {plan: small}
"""


@pytest.fixture(scope="module")
def hub(start_hub):
    hub = start_hub("formless", history="what-if")
    store = hub.ledger()
    store.apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    groups = ["science/geo"] * 102 + ["arts"]
    for number, group in enumerate(groups):
        id = new_id(number)
        store.reserve(id, f"user-{number % 3}", f"s{number}", [group], {"cpu": 10})
        store.close_session(id, "stopped")
    for user in ("user-0", "user-1"):
        store.reserve(new_id(0), user, "", ["science/geo"], {"cpu": 2000})
    return hub


@pytest.fixture(scope="module")
def ask(hub):
    """Ask for a what-if with a person's own token."""
    tokens = {name: hub.login(name).token() for name in ("admin", "dean", "ada", "sam")}

    def ask(user: str, path: str, **body):
        return httpx.post(
            f"{hub.base}services/quotas/api/{path}/what-if",
            json=body,
            headers={"Authorization": f"token {tokens[user]}"},
            timeout=60,
        )

    return ask


def test_a_group(hub, ask):
    before = hub.ledger().held()
    answer = ask("ada", "groups/science%2Fgeo", limits={"server.cpu": 1})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    said = "In the last 30 days this would have refused 2 of 104 starts, of 2 members."
    assert found["text"].startswith(f"{said} Records go back to ")
    counted = {name: found[name] for name in ("starts", "refused", "members", "stops", "whole")}
    assert counted == {"starts": 104, "refused": 2, "members": 2, "stops": 0, "whole": True}
    limit = {"limit": "server.cpu", "amount": "1", "group": "science/geo", "plan": ""}
    assert found["limits"] == [limit]
    first = found["first"][0]
    assert first.pop("at").endswith("Z")
    assert first == {"user": "user-0", "group": "science/geo", "server": "", "by": limit}
    assert hub.ledger().held() == before, "nothing has changed"


def test_its_plan_and_what_is_taken_away(ask):
    none = ask("dean", "groups/science%2Fgeo", limits={"member.servers": 0}, plan="").json()
    assert (none["refused"], len(none["first"])) == (104, 100)
    left = ask("admin", "groups/science", limits={"group.cpu": None}).json()
    assert left["text"] == "This limits no start more than before."
    with_plan = ask("admin", "groups/science", plan="small").json()
    assert [limit["plan"] for limit in with_plan["limits"]] == ["small"]


def test_a_plan(ask):
    found = ask("admin", "plans/small", limits={"member.servers": 0}).json()
    assert (found["starts"], found["refused"]) == (105, 105)
    assert {one["group"] for one in found["limits"]} == {"science/geo", "arts"}


@pytest.mark.parametrize(
    ("user", "path", "body", "status", "said"),
    [
        ("ada", "groups/science", {}, 404, "There is no such group here"),
        ("ada", "groups/arts", {"limits": {"group.cpu": 1}}, 404, "There is no such group here"),
        ("sam", "groups/science%2Fgeo", {}, 404, "There is no such group here"),
        ("dean", "groups/science", {"limits": {"group.cpu": 9}}, 403, "What science has as a"),
        ("dean", "plans/small", {}, 403, "Only admins"),
        ("admin", "plans/none", {}, 404, "There is no such plan"),
        ("admin", "groups/arts", {"plan": "none"}, 400, "there is no plan called 'none'"),
        ("admin", "groups/arts", {"limits": {"group.cpu": "much"}}, 400, "is not an amount of CPU"),
        ("admin", "groups/arts", {"limit": {}}, 400, "Extra inputs are not permitted"),
    ],
)
def test_who_may_not_or_asks_wrongly_reads_why(ask, user, path, body, status, said):
    answer = ask(user, path, **body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
