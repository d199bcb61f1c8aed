"""What runs beside the hub is held on the same ledger, under the same limits."""

from __future__ import annotations

import json
import sqlite3
import sys
import uuid
from datetime import datetime, timezone

import httpx
import pytest
from hubs import PATIENCE, TOKEN, Hub, wait_for
from ledgers import clock, store, url

from hub_quotas import reservations
from hub_quotas.enforcer import Enforcer
from hub_quotas.holds import BadInput, read_hold
from hub_quotas.policy import parse_policy
from hub_quotas.reservations import LASTS, NoReservation, Taken
from hub_quotas.store import QuotaStore
from hub_quotas.watch import MINUTE

__all__ = ["clock", "store", "url"]

G = 2**30
SMALL = {"cpu": "1", "memory": "1G"}


class Service(httpx.Client):
    """A service of the hub that holds resources for users."""

    def __init__(self, hub: Hub, name: str = "jobs") -> None:
        super().__init__(
            base_url=f"{hub.base}services/quotas/api/",
            headers={"Authorization": f"token {TOKEN}{name}"},
            timeout=PATIENCE,
        )

    def hold(self, user: str, limits: object = SMALL, **rest: object) -> httpx.Response:
        body = {"user": user, "limits": limits, "name": "job", **rest}
        return self.post("reservations", json=body)

    def held(self) -> list[dict[str, object]]:
        return self.get("reservations").json()["reservations"]


@pytest.fixture
def hub(start_hub) -> Hub:
    return start_hub("reservations")


@pytest.fixture
def service(hub):
    with Service(hub) as client:
        yield client
        for reservation in client.held():
            client.delete(f"reservations/{reservation['id']}")


def a_member(hub: Hub, name: str, group: str, limits: str) -> str:
    hub.limits(f"{group}: {{{limits}}}")
    hub.api(f"groups/{group}", "POST")
    hub.api(f"users/{name}", "POST")
    hub.api(f"groups/{group}/users", "POST", json={"users": [name]})
    return name


# -- through a real hub -----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["6.1", pytest.param("5.5", marks=pytest.mark.slow)])
def test_resources_are_held_and_released(start_hub, request, version):
    python = sys.executable if version == "6.1" else request.getfixturevalue("hub55")
    hub = start_hub("reservations", python=python)
    ada = a_member(hub, "ada", "lab", "member.memory: 8G")
    with Service(hub) as service:
        made = service.hold(ada, {"cpu": 1.5, "memory": "2G", "gpu": 1, "example.org/fpga": 2})
        assert made.status_code == 201
        assert made.headers["Cache-Control"] == "no-store"
        held = made.json()
        assert (held["user"], held["group"], held["name"]) == ("ada", "lab", "job")
        assert held["granted"] == {
            **{"servers": "1", "cpu": "1.5", "memory": "2G", "gpu": "1"},
            "example.org/fpga": "2",
        }
        assert 570 < _left(held) <= held["lasts_seconds"] == 600

        use = hub.ledger().group_use()["lab"]
        assert (use["cpu"], use["memory"], use["gpu"]) == (1500, 2 * G, 1)
        assert service.held() == [held]
        assert service.get(f"reservations/{held['id']}").json() == held
        assert str(httpx.URL(hub.url).join(made.headers["Location"])) == str(
            service.base_url.join(f"reservations/{held['id']}")
        )

        for _ in range(2):  # as a client does that did not get the first answer
            assert service.delete(f"reservations/{held['id']}").status_code == 204
        assert service.held() == []
        assert not any(hub.ledger().group_use()["lab"].values())


def test_asking_again_with_the_same_id_charges_once(hub, service):
    ada = a_member(hub, "ada", "lab", "member.memory: 8G")
    id = str(uuid.uuid4())
    first = service.hold(ada, id=id)
    again = service.hold(ada, id=id)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["id"] == id.replace("-", "")
    assert hub.ledger().group_use()["lab"]["memory"] == G

    service.delete(f"reservations/{id}")
    late = service.hold(ada, id=id)
    assert (late.status_code, late.json()["detail"]) == (
        409,
        "id: this one is used up; choose another.",
    )
    assert hub.ledger().group_use()["lab"]["memory"] == 0


def test_servers_and_reservations_count_together(hub, service):
    """A server of 512 MiB, and jobs, in either order."""
    kim = a_member(hub, "kim", "course", "member.memory: 2G, member.cpu: 4")
    hub.login(kim)
    assert hub.api("users/kim/server", "POST").is_success
    assert service.hold(kim, SMALL).status_code == 201
    refused = service.hold(kim, SMALL)
    assert refused.status_code == 403
    assert refused.json() == {
        "title": "Forbidden",
        "status": 403,
        "reason": "quota-member",
        "detail": (
            "course allows each member 2 GiB of memory at once; you have 1.5 GiB in use by 2 "
            "servers, and this one asks for 1 GiB. A server with at most 2.5 cores of cpu and "
            "512 MiB of memory would start now. To get more, ask an admin of this hub."
        ),
    }
    assert service.hold(kim, {"cpu": "1", "memory": "512M"}).status_code == 201
    stopped = hub.api("users/kim/servers/two", "POST")
    assert stopped.status_code == 403
    assert "you have 2 GiB in use by 3 servers" in stopped.json()["message"]


def test_a_part_of_something_larger_need_not_count_as_a_server(hub, service):
    ada = a_member(hub, "ada", "lab", "member.servers: 1")
    assert service.hold(ada).status_code == 201
    assert service.hold(ada, {**SMALL, "servers": 0}).status_code == 201
    assert service.hold(ada).status_code == 403


def test_a_renewal_may_ask_for_other_amounts(hub, service):
    ada = a_member(hub, "ada", "lab", "member.memory: 4G, server.cpu: 8")
    id = service.hold(ada, {"cpu": 1, "memory": "1G"}).json()["id"]
    session = hub.ledger().session(id)

    renewed = service.put(f"reservations/{id}")
    assert renewed.status_code == 200
    assert hub.ledger().session(id).seen_at > session.seen_at
    assert renewed.json()["granted"]["memory"] == "1G"

    grown = service.put(f"reservations/{id}", json={"limits": {"cpu": 1, "memory": "4G"}})
    assert grown.json()["granted"]["memory"] == "4G"
    refused = service.put(f"reservations/{id}", json={"limits": {"cpu": 1, "memory": "5G"}})
    assert refused.status_code == 403
    assert "and this one asks for 5 GiB" in refused.json()["detail"]
    assert service.held()[0]["granted"]["memory"] == "4G", "what it had, it has"
    for _ in range(3):  # the same again leaves no trace
        small = service.put(f"reservations/{id}", json={"limits": {"cpu": 1, "memory": "512M"}})
    assert small.json()["granted"]["memory"] == "512M"
    assert len(hub.ledger().session(id).charges) == 3
    assert hub.ledger().group_use()["lab"]["memory"] == G // 2


def test_a_group_is_chosen_among_the_users_own(hub, service):
    a_member(hub, "eve", "alpha", "member.servers: 1")
    a_member(hub, "eve", "beta", "member.servers: 1")
    hub.limits("{alpha: {member.servers: 1}, beta: {member.servers: 1}}")
    assert [service.hold("eve").json()["group"] for _ in range(2)] == ["alpha", "beta"]
    both = service.hold("eve").json()["detail"]
    assert "alpha allows each member 1 server" in both
    assert "beta allows each member 1 server" in both
    foreign = service.hold("eve", group="gamma")
    assert foreign.status_code == 403
    assert foreign.json()["reason"] == "quota-choice"
    assert foreign.json()["detail"] == (
        "eve is not a member of the group 'gamma'. Choose one of: alpha, beta."
    )
    hub.api("users/alone", "POST")
    assert service.hold("alone").json()["group"] == "default"


def test_nobody_touches_what_another_holds(hub, service):
    ada = a_member(hub, "ada", "lab", "member.memory: 8G")
    id = service.hold(ada).json()["id"]
    with Service(hub, "builds") as other:
        assert other.held() == []
        for answer in (
            other.get(f"reservations/{id}"),
            other.put(f"reservations/{id}"),
            other.delete(f"reservations/{id}"),
            other.delete(f"reservations/{uuid.uuid4()}"),
            other.put("reservations/nonsense"),
        ):
            assert answer.status_code == 404
            assert answer.json()["detail"] == "You hold no such reservation, or no longer."
        assert other.hold(ada, id=id).status_code == 409
    assert len(service.held()) == 1


def test_a_server_of_the_hub_is_not_a_reservation(hub, service):
    hub.limits("default: {member.servers: 3}")
    hub.login("lou")
    assert hub.api("users/lou/server", "POST").is_success
    (session,) = hub.ledger().open_sessions("lou")
    assert service.delete(f"reservations/{session.id}").status_code == 404
    assert service.put(f"reservations/{session.id}").status_code == 404
    assert service.hold("lou", id=session.id).status_code == 409
    assert len(hub.ledger().open_sessions("lou")) == 1


def test_it_takes_a_token_with_the_scope(hub):
    hub.api("users/ada", "POST")
    lacks = {"nosy": "custom:quotas:reserve", "outside": "access:services!service=quotas"}
    for name, scope in lacks.items():
        with Service(hub, name) as client:
            for answer in (client.get("reservations"), client.hold("ada")):
                assert answer.status_code == 403
                assert scope in answer.json()["detail"]
    for headers in ({"Authorization": "token wrong"}, {}):
        answer = httpx.get(f"{hub.base}services/quotas/api/reservations", headers=headers)
        assert answer.status_code == 401
        assert "Send a token of this hub" in answer.json()["detail"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_cookie_is_no_token(hub):
    admin = hub.login("admin")
    assert admin.get("services/quotas/").status_code == 200
    for method in ("GET", "POST"):
        answer = admin.request(method, "services/quotas/api/reservations")
        assert (answer.status_code, answer.json()["status"]) == (403, 403)
    token = f"{hub.base}services/quotas/api/reservations?token={TOKEN}jobs"
    assert httpx.get(token).status_code == 401, "nor in an address, where logs have it"


def test_errors_are_json(service):
    for answer, status in (
        (service.get("elsewhere"), 404),
        (service.patch("reservations"), 405),
        (service.post(f"reservations/{uuid.uuid4()}"), 405),
    ):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Allow"] == "DELETE, GET, PUT"


def test_a_user_that_the_hub_does_not_have(service):
    answer = service.hold("no/body")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "user: this hub has no user 'no/body'."


def test_what_is_missing_is_said(service):
    assert service.post("reservations", content=b"{}").json() == {
        "title": "Bad Request",
        "status": 400,
        "detail": "user: say for whom this is.",
    }
    answer = service.post("reservations", json={"user": "ada"})
    assert answer.json()["detail"].startswith("limits: say what it takes, such as")


def test_what_is_not_renewed_ends_when_it_was_seen_last(fresh_hub):
    hub = fresh_hub("reservations", lasts_seconds=2)
    ada = a_member(hub, "ada", "lab", "member.memory: 8G")
    with Service(hub) as service:
        kept, left = (service.hold(ada).json() for _ in range(2))
        assert kept["lasts_seconds"] == 2

        def only_one() -> bool:
            assert service.put(f"reservations/{kept['id']}").status_code == 200
            return len(service.held()) == 1

        wait_for("the end of the other", only_one)
        assert service.put(f"reservations/{left['id']}").status_code == 404
    over = hub.ledger().session(left["id"])
    assert over.reason == "expired"
    assert over.closed_at == over.reserved_at, "it was never renewed"
    assert hub.ledger().group_use()["lab"]["memory"] == G
    assert "was not renewed" in hub.log


def test_a_ledger_that_can_not_be_used_is_said(fresh_hub):
    hub = fresh_hub("reservations")
    hub.api("users/ada", "POST")
    with sqlite3.connect(hub.folder / "hub_quotas.sqlite") as database:
        database.execute("ALTER TABLE session RENAME TO elsewhere")
    with Service(hub) as service:
        answer = service.hold("ada")
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("Quotas can't be checked at the moment.")


# -- the ledger -------------------------------------------------------------------------------


def test_ten_minutes_from_the_last_renewal(store, clock):
    for id in ("renewed", "left"):
        assert reservations.hold(store, "jobs", id, "ada", "job", ["lab"], {"cpu": 1000}).granted
    store.reserve("server", "ada", "", ["lab"], {"cpu": 1000})
    began = clock.now
    clock.now += LASTS - 1
    assert reservations.expire(store) == []
    reservations.renew(store, "jobs", "renewed")
    clock.now += 1
    assert [s.id for s in reservations.expire(store)] == ["left"]
    assert {s.id for s in store.open_sessions()} == {"renewed", "server"}, "no server of a hub"
    # What was counted of it until it was known to be over is taken off again.
    clock.now += LASTS - 1
    assert [s.id for s in reservations.expire(store)] == ["renewed"]
    used = store.used("lab", "ada", "cpu", began, clock.now)
    assert used == 1000 * ((LASTS - 1) + (clock.now - began)), "one renewed once, and the server"


def test_what_a_limit_stops_ends_at_the_instant_that_was_computed(store, clock):
    limits = {"server.lifetime": "2m", "member.servers": 5}
    store.apply(parse_policy({"groups": {"lab": {"limits": limits}}}), "ada", "test")
    began = clock.now
    reservations.hold(store, "jobs", "job", "ada", "job", ["lab"], {"cpu": 1000})
    store.reserve("server", "ada", "", ["lab"], {"cpu": 1000})
    Enforcer(store, []).step()
    assert reservations.stops(store, ["job", "unknown"]) == {"job": began + 2 * MINUTE}
    assert reservations.stop_due(store) == []
    clock.now += 3 * MINUTE
    assert [s.id for s in reservations.stop_due(store)] == ["job"], "a hub stops its own"
    assert reservations.stop_due(store) == []
    ended = store.session("job")
    assert (ended.closed_at, ended.reason) == (began + 2 * MINUTE, "server.lifetime of lab")
    with pytest.raises(NoReservation) as error:
        reservations.renew(store, "jobs", "job")
    assert error.value.why == "server.lifetime of lab"


def test_a_holder_reads_until_when_it_may_go_on_and_why_no_longer(hub, service):
    ada = a_member(hub, "ada", "lab", "server.lifetime: 2s, member.memory: 8G")
    id = service.hold(ada).json()["id"]
    held = wait_for(
        "the enforcer",
        lambda: (r := service.put(f"reservations/{id}").json()) and _left(r) < 60 and r,
    )
    assert _left(held) <= 2
    over = wait_for(
        "its end", lambda: (a := service.put(f"reservations/{id}")).status_code == 404 and a, 20
    )
    assert over.json()["detail"].endswith("It ended: server.lifetime of lab.")
    session = hub.ledger().session(id)
    assert session.closed_at - session.reserved_at <= 3 * 10**6, "not when it was looked at"
    assert not any(hub.ledger().group_use()["lab"].values())


def _left(held) -> float:
    until = datetime.fromisoformat(held["until"].replace("Z", "+00:00"))
    return (until - datetime.now(timezone.utc)).total_seconds()


def test_hubs_that_share_a_ledger_may_have_services_of_one_name(url, store):
    other = QuotaStore(url, hub="other")
    reservations.hold(store, "jobs", "mine", "ada", "job", ["lab"], {"cpu": 1000})
    assert reservations.of(other, "jobs") == []
    with pytest.raises(NoReservation):
        reservations.release(other, "jobs", "mine")
    with pytest.raises(Taken):
        reservations.hold(other, "jobs", "mine", "ada", "job", ["lab"], {"cpu": 1000})
    other.close()


# -- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "The body is not JSON."),
        (b"\xff", "The body is not JSON."),
        ([], 'The body is not a JSON object, such as {"user": "sam"}.'),
        ({"usr": "ada"}, "usr: there is no such key. Did you mean 'user'?"),
        ({"id": "one"}, "id: this is not a UUID."),
        ({"id": 1}, "id: this is not a UUID."),
        ({"name": "a\nb"}, "name: write a text of at most 200 characters in one line."),
        ({"user": ["ada"]}, "user: write a text of at most 200 characters in one line."),
        ({"user": 0}, "user: write a text of at most 200 characters in one line."),
        ({"limits": "2"}, 'limits: write an object, such as {"cpu": "2", "memory": "4G"}.'),
        (
            {"limits": {"memroy": "4G"}},
            "limits.memroy: there is no resource of that name. Did you mean 'memory'?",
        ),
        ({"limits": {"cpu-hours": 3}}, "limits.cpu-hours: there is no resource of that name."),
        (
            {"limits": {"cpu": "two"}},
            "limits.cpu: 'two' is not an amount of CPU; write cores: 2, 0.5 or 500m.",
        ),
        (
            {"limits": {"cpu": -1}},
            "limits.cpu: '-1' is not an amount of CPU; write cores: 2, 0.5 or 500m.",
        ),
        ({"limits": {"gpu": True}}, "limits.gpu: write an amount."),
        ({"limits": {"gpu": None}}, "limits.gpu: write an amount."),
        ({"guarantees": {"cpu": 1}}, "guarantees: say the limits too."),
        (
            {"limits": {"cpu": 1}, "guarantees": {"cpu": 2}},
            "guarantees.cpu: this is more than limits.cpu.",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(body, said):
    with pytest.raises(BadInput) as error:
        read_hold(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert str(error.value) == said
