"""Users who do not come by are asked about: who is due when, and a hub that does it."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hubs import wait_for
from hypothesis import given
from hypothesis import strategies as st
from idp import log_in, open_canaille, store
from jupyterhub.auth import Authenticator, DummyAuthenticator
from oauthenticator.generic import GenericOAuthenticator

from hub_groups.authenticator import with_groups
from hub_groups.config import HubGroups
from hub_groups.people import By, put_members
from hub_groups.refresher import back_off, can_tell, next_step

EVERY = 1800.0


def test_nobody_is_due():
    assert next_step({}, EVERY, 0.5).user is None
    step = next_step({"ada": 100.0, "kim": 1790.0}, EVERY, 0.5)
    assert (step.user, step.wait) == (None, 10.0)
    assert next_step({"ada": 0.0}, EVERY, 0.5).wait == 60, "somebody may come in the meantime"


def test_who_waits_longest_comes_first():
    assert next_step({"ada": 1800.0, "kim": 1900.0}, EVERY, 0).user == "kim"
    assert next_step({"ada": 9999.0, "kim": None}, EVERY, 0).user == "kim"


@given(
    st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 1e6), max_size=50),
    st.floats(1, 1e5),
    st.floats(0, 1),
)
def test_never_faster_than_one_a_second(ages, every, chance):
    step = next_step(ages, every, chance)
    assert 1 <= step.wait <= 60
    if step.user is not None:
        assert ages[step.user] is None or ages[step.user] >= every


@pytest.mark.parametrize("users", [40, 300, 5000])
def test_after_a_restart_all_are_asked_about_evenly(users):
    """And go on to be, each once in that time, or as fast as may be where they are many."""
    at, seen = 0.0, {}
    asked: list[float] = []
    chances = (0.1, 0.9, 0.5)
    round_ = max(EVERY, users)
    while at < 2.5 * round_:
        step = next_step(
            {f"u{i}": at - seen[i] if i in seen else None for i in range(users)},
            EVERY,
            chances[len(asked) % 3],
        )
        if step.user:
            seen[int(step.user[1:])] = at
            asked.append(at)
        at += step.wait
        if users == 5000 and len(asked) > 50:  # it's the same all the way
            assert at >= 50
            return
    assert len(seen) == users
    for quarter in range(4):
        begin = quarter * EVERY / 4
        some = sum(begin <= one < begin + EVERY / 4 for one in asked)
        assert some == pytest.approx(users / 4, rel=0.2)
    assert len(asked) <= 3 * users


def test_a_provider_that_fails_is_left_alone():
    waits = [back_off(n, EVERY) for n in (1, 2, 3, 9, 10, 10**6)]
    assert waits == [5, 10, 20, 1280, 1800, 1800]


def test_who_can_tell():
    class Header(DummyAuthenticator):
        async def refresh_user(self, user, handler=None):
            return True

    def told(cls: type[Authenticator], **settings) -> bool:
        groups = HubGroups(db_url="sqlite://")
        return can_tell(with_groups(cls, groups)(**settings))

    assert not told(DummyAuthenticator)
    assert told(Header)
    assert told(GenericOAuthenticator)
    assert not told(GenericOAuthenticator, auth_refresh_age=0), "the admin wants no refresh"


# -- a hub ---------------------------------------------------------------------------------------


@pytest.fixture
def provider():
    with open_canaille() as running:
        yield running


@pytest.fixture
def start(provider, fresh_hub):
    return partial(_start, provider, fresh_hub)


@pytest.fixture
def hub(start):
    return start()


def _start(provider, fresh_hub, groups=(), **settings):
    """With kim, who has a server, and sam, who has none; both in two groups, kim in one by hand."""
    hub = fresh_hub(
        "oidc",
        issuer=provider.url,
        authenticator={"auth_refresh_age": 3600},
        groups={"refresh_every": 3, **dict(groups)},
        **settings,
    )
    provider.add_hub(hub)
    put_members(store(hub), "seminar", ["kim"], By("tests", "cli"))
    for name in ("kim", "sam"):
        provider.user(name, "geo101", "all")
        log_in(hub, name)
    hub.api("users/kim/server", "POST")
    wait_for("the server", lambda: hub.server("kim"))
    return hub


def test_an_idle_user_loses_a_group_without_a_request(provider, hub):
    lose_one(provider, hub)


@pytest.mark.slow
def test_the_same_by_rules_on_the_oldest_hub(provider, start, hub55):
    rules = {"rules": [{"preset": "keycloak"}]}
    lose_one(provider, start(groups=rules, manage_groups=False, python=hub55))


def lose_one(provider, hub) -> None:
    provider.remove("geo101", "kim")
    wait_for("the end of it", lambda: hub.groups("kim") == {"all", "seminar"}, 20)
    assert hub.groups("sam") == {"geo101", "all"}
    assert hub.server("kim"), "and their server goes on"


@pytest.mark.slow
def test_a_renewed_token_is_kept(provider, hub):
    """Each can be renewed once, so the second time shows that the hub has the new one."""
    for _ in range(2):
        before = hub.log.count(renewed := "Refreshing oauth access token for kim")
        provider.expire_tokens()
        wait_for("a renewal", lambda n=before: hub.log.count(renewed) > n, 20)
        time.sleep(1)
    provider.remove("geo101", "kim")
    wait_for("the end of it", lambda: hub.groups("kim") == {"all", "seminar"}, 20)
    assert "has to log in again" not in hub.log
    assert not hub.api("users/kim").json()["admin"]


@pytest.mark.slow
def test_an_outage_and_dead_tokens_take_no_groups(provider, hub):
    provider.stop()
    wait_for("an outage", lambda: "can't say anything about" in hub.log, 20)
    time.sleep(5)
    assert hub.log.count("can't say anything about") == 1, "one sentence, not one for each"
    assert hub.groups("kim") == {"geo101", "all", "seminar"}
    provider.start()
    wait_for("its end", lambda: "answers again" in hub.log, 20)

    provider.end_tokens()
    wait_for("a sentence", lambda: "kim has to log in again" in hub.log, 20)
    time.sleep(5)
    assert hub.log.count("kim has to log in again") == 1
    assert hub.groups("kim") == {"geo101", "all", "seminar"}
    assert hub.server("kim")
    log_in(hub, "kim")
    provider.remove("geo101", "kim")
    wait_for("the end of it", lambda: hub.groups("kim") == {"all", "seminar"}, 20)
