"""What a provider says and what people set, side by side: real hubs, and canaille as the provider.

Each test has users of its own. `managed` is a hub with `manage_groups`, `rules` one without, whose
groups come by the preset for Keycloak.
"""

from __future__ import annotations

import time

import pytest
from hubs import Hub, Visitor, wait_for
from idp import Canaille, log_in, open_canaille, store

from hub_groups.people import By, put_members

BY = By("tests", "cli")
KINDS = {
    "managed": {"manage_groups": True},
    "rules": {"manage_groups": False, "groups": {"rules": [{"preset": "keycloak"}]}},
}
SAYING_NONE = {
    "managed": {"manage_groups": True, "groups": {"absent_is_none": True}},
    "rules": {
        "manage_groups": False,
        "groups": {"rules": [{"preset": "keycloak", "optional": True}]},
    },
}
BY_HAND = {"by-hand", "seminar"}


@pytest.fixture(scope="module")
def provider():
    with open_canaille() as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(provider):
    yield
    provider.say_groups(True)
    provider.fails = 0
    provider.stop()
    provider.start()


@pytest.fixture(params=["managed", pytest.param("rules", marks=pytest.mark.slow)])
def kind(request) -> str:
    return request.param


@pytest.fixture
def hub(provider, start_hub, kind) -> Hub:
    hub = start_hub("oidc", issuer=provider.url, **KINDS[kind])
    provider.add_hub(hub)
    return hub


def name_of(kind: str, name: str) -> str:
    """Users of the two hubs have nothing to do with each other."""
    return f"{name}-{kind}"


def arrive(provider: Canaille, hub: Hub, user: str) -> Visitor:
    """Somebody who is in two groups there, and in two by hand here."""
    provider.user(user, f"geo-{user}", "all")
    put_members(store(hub), "seminar", [user], BY)
    visitor = log_in(hub, user)
    hub.api("groups/by-hand", "POST")
    hub.api("groups/by-hand/users", "POST", json={"users": [user]})
    is_in(hub, user, f"geo-{user}", "all")
    return visitor


def come_by(visitor: Visitor) -> int:
    """A request after which the hub has refreshed somebody."""
    time.sleep(1.1)
    return visitor.get("hub/home").status_code


def is_in(hub: Hub, user: str, *groups: str) -> None:
    assert hub.groups(user) == set(groups) | BY_HAND


def sides(provider: Canaille, hub: Hub, user: str) -> None:
    """Login, refresh, a rename of a group, the next spawn."""
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "all")
    log_in(hub, user)
    is_in(hub, user, geo, "all")

    provider.rename_group(geo, f"{geo}-now")
    assert come_by(visitor) == 200
    is_in(hub, user, f"{geo}-now", "all")

    provider.add("seminar", user)  # in it twice now
    provider.remove(f"{geo}-now", user)
    assert hub.api(f"users/{user}/server", "POST").is_success
    is_in(hub, user, "all")
    provider.remove("seminar", user)
    wait_for("the server", lambda: hub.server(user))
    assert come_by(visitor) == 200
    is_in(hub, user, "all")

    hub.api("groups/by-hand/users", "DELETE", json={"users": [user]})
    assert come_by(visitor) == 200
    assert hub.groups(user) == {"all", "seminar"}


def outage(provider: Canaille, hub: Hub, user: str) -> None:
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.fails = 502
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "all")
    provider.fails = 0
    provider.remove(geo, user)
    provider.stop()
    assert come_by(visitor) == 200, "they stay logged in"
    is_in(hub, user, geo, "all")
    assert hub.api(f"users/{user}/server", "POST").is_success
    is_in(hub, user, geo, "all")
    with pytest.raises(Exception, match=r"refused|500|502|599"):
        log_in(hub, user)
    is_in(hub, user, geo, "all")
    provider.start()
    assert come_by(visitor) == 200
    is_in(hub, user, "all")


def vanishing(provider: Canaille, hub: Hub, user: str) -> None:
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.say_groups(False)
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "all")
    log_in(hub, user)
    is_in(hub, user, geo, "all")
    assert hub.api(f"users/{user}/server", "POST").is_success
    is_in(hub, user, geo, "all")
    assert f"{user} has no oauth_user.groups" in hub.log or f"{user} keeps the groups" in hub.log
    provider.remove(geo, user)
    provider.say_groups(True)
    assert come_by(visitor) == 200
    is_in(hub, user, "all")


def renamed(provider: Canaille, hub: Hub, user: str) -> None:
    """Another user name: another user, but where an admin says so before they log in."""
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.rename_user(user, f"{user}2")
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "all")
    log_in(hub, f"{user}2")
    assert hub.groups(f"{user}2") == {geo, "all"}
    is_in(hub, user, geo, "all")

    assert hub.api(f"users/{user}2", "DELETE").is_success
    assert hub.api(f"users/{user}", "PATCH", json={"name": f"{user}3"}).is_success
    provider.rename_user(f"{user}2", f"{user}3")
    wait_for("the rename", lambda: store(hub).standings(f"{user}3"))
    log_in(hub, f"{user}3")
    is_in(hub, f"{user}3", geo, "all")


def deleted(provider: Canaille, hub: Hub, user: str) -> None:
    """Who is not known there any more starts nothing."""
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.delete_user(user)
    time.sleep(1.1)
    page = visitor.get("hub/spawn")
    assert "/login" in str(page.url), "sent to log in"
    assert hub.api(f"users/{user}").json()["servers"] == {}
    is_in(hub, user, geo, "all")


@pytest.mark.parametrize("what", [sides, outage, vanishing, renamed, deleted])
def test_side_by_side(provider, hub, kind, what):
    what(provider, hub, name_of(kind, what.__name__))


@pytest.mark.slow
def test_a_restart_keeps_both(provider, hub, kind):
    user = name_of(kind, "restart")
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    hub.stop()
    put_members(store(hub), "later", [user], BY)
    hub.start()
    wait_for("what has been set", lambda: "later" in hub.groups(user), 20)
    is_in(hub, user, geo, "all", "later")
    provider.remove("all", user)
    visitor = log_in(hub, user)  # its address is the same, its cookies are not
    is_in(hub, user, geo, "later")
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "later")


@pytest.mark.slow
def test_a_restart_in_an_outage(provider, hub, kind):
    user = name_of(kind, "dark")
    geo, _visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.stop()
    hub.stop()
    hub.start()
    assert hub.api(f"users/{user}/server", "POST").is_success
    is_in(hub, user, geo, "all")


def test_the_last_group_is_kept_where_that_is_no_claim(provider, hub, kind):
    """canaille has no claim for users in no group, and Keycloak neither."""
    user = name_of(kind, "last")
    provider.user(user, f"geo-{user}")
    visitor = log_in(hub, user)
    provider.remove(f"geo-{user}", user)
    assert come_by(visitor) == 200
    assert hub.groups(user) == {f"geo-{user}"}


@pytest.mark.slow
def test_or_goes_where_the_admin_says_what_that_means(provider, start_hub, kind):
    hub = start_hub("oidc", issuer=provider.url, **SAYING_NONE[kind])
    provider.add_hub(hub)
    user = name_of(kind, "none")
    visitor = arrive(provider, hub, user)
    provider.remove(f"geo-{user}", user)
    provider.remove("all", user)
    assert come_by(visitor) == 200
    is_in(hub, user)


@pytest.mark.slow
def test_without_auth_state_logins_count(provider, fresh_hub, kind):
    off = {"authenticator": {"enable_auth_state": False}}
    hub = fresh_hub("oidc", issuer=provider.url, **KINDS[kind], **off)
    provider.add_hub(hub)
    user = name_of(kind, "stateless")
    geo, visitor = f"geo-{user}", arrive(provider, hub, user)
    provider.remove(geo, user)
    assert come_by(visitor) == 200
    is_in(hub, user, geo, "all")
    assert hub.api(f"users/{user}/server", "POST").is_success
    is_in(hub, user, geo, "all")
    log_in(hub, user)
    is_in(hub, user, "all")


@pytest.mark.slow
def test_side_by_side_on_the_oldest_hub(provider, start_hub, hub55, kind):
    hub = start_hub("oidc", python=hub55, issuer=provider.url, **KINDS[kind])
    provider.add_hub(hub)
    for what in (sides, outage, vanishing, deleted):
        what(provider, hub, name_of(kind, f"old-{what.__name__}"))
