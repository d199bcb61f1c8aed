"""The mixin over an authenticator, without a hub: what it makes of a provider's answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from jupyterhub.auth import Authenticator
from threads import in_a_thread
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from hub_groups.authenticator import ProviderDown, with_groups
from hub_groups.config import HubGroups


class Answers(Authenticator):
    """Says, or raises, what it has been told to."""

    answer: object = True

    async def refresh_user(self, user, handler=None):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class User(SimpleNamespace):
    """As much of one of the hub's as it takes."""

    def sync_groups(self, names):
        self.groups = [SimpleNamespace(name=name) for name in names]


@pytest.fixture
def authenticator(tmp_path):
    settings = HubGroups(db_url=f"sqlite:///{tmp_path}/groups.sqlite")
    return with_groups(Answers, settings)(manage_groups=True)


@pytest.fixture
def user():
    user = User(name="sam", db=None)
    user.sync_groups([])
    return user


DOWN = [
    HTTPClientError(502),
    HTTPClientError(599),
    HTTPError(500),
    ConnectionRefusedError("refused"),
    TimeoutError(),
    ValueError("Expecting value: line 1 column 1"),
]


@pytest.mark.parametrize("error", DOWN, ids=repr)
@in_a_thread
async def test_a_provider_that_is_down_changes_nothing(authenticator, user, error):
    authenticator.answer = {"name": "sam", "groups": ["geo"]}
    user.sync_groups((await authenticator.refresh_user(user))["groups"])
    authenticator.answer = error
    assert await authenticator.refresh_user(user) is True
    with pytest.raises(ProviderDown):
        await authenticator.ask(user)


@pytest.mark.parametrize("error", [HTTPClientError(401), HTTPError(403), KeyError("x")], ids=repr)
@in_a_thread
async def test_a_user_who_is_refused_is(authenticator, user, error):
    authenticator.answer = error
    with pytest.raises(type(error)):
        await authenticator.refresh_user(user)


@in_a_thread
async def test_who_has_to_log_in_again_keeps_their_groups(authenticator, user):
    authenticator.answer = {"name": "sam", "groups": ["geo"]}
    user.sync_groups((await authenticator.refresh_user(user))["groups"])
    authenticator.answer = False
    assert await authenticator.refresh_user(user) is False
    authenticator.answer = True
    assert await authenticator.refresh_user(user) is True


@in_a_thread
async def test_what_is_set_by_hand_in_the_middle_of_it_stays(authenticator, user, monkeypatch):
    """A hub replaces all groups of a user by what a refresh comes to."""
    known, first = authenticator._store.known, iter([True])

    def slow(name):
        result = known(name)
        if next(first, False):  # an admin, while the store is asked in a thread
            user.sync_groups(["by-hand"])
        return result

    monkeypatch.setattr(authenticator._store, "known", slow)
    authenticator.answer = {"name": "sam", "groups": ["geo"]}
    assert (await authenticator.refresh_user(user))["groups"] == ["by-hand", "geo"]
