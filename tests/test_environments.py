"""A link whose environment is made of a repository: with real KubeSpawner profiles, a real git
server, and a stand-in for BinderHub."""

from __future__ import annotations

import re

import pytest
from binderhub import BinderHub, open_binderhub
from gitserver import commit, open_git_server
from hubs import Hub, wait_for
from test_open import follow, options, path, text_of

from hub_quotas.policy import WHOLE_HUB
from hub_quotas.store import QuotaStore
from share_links.launch import Environment, Launch
from share_links.store import LinkStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def binder():
    with open_binderhub() as found:
        yield found


@pytest.fixture(autouse=True)
def _as_new(binder):
    binder.fails = ""
    binder.goes_on.set()


@pytest.fixture(scope="module")
def hub(start_hub, kubernetes, binder) -> Hub:
    made = start_hub(
        *("kubeprofiles",),
        **{"image": "server", **kubernetes.hub_settings},
        binder=binder.url,
        share_links={"build_takes": {"cpu": "1", "memory": "3G"}},
    )
    binder.hub = made.base
    return made


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("git")
    with open_git_server(folder) as server:
        yield server


def new_repository(server, name: str) -> tuple[str, str]:
    """Its address, and the commit that its branch `main` is at."""
    work = server.folder.parent / f"work-{name}"
    made = commit(work, {"environment.yml": f"name: {name}\n"})
    return server.publish(work, name), made


_names = iter(range(100))


@pytest.fixture
def reader(hub):
    return hub.login(f"reader{next(_names)}")


def ledger(hub: Hub) -> QuotaStore:
    return QuotaStore(f"sqlite:///{hub.folder / 'hub_quotas.sqlite'}")


def builds(hub: Hub) -> list[tuple[str, str, str]]:
    """User, name and why it ended, of all that was charged for builds."""
    with ledger(hub).db.read() as tx:
        rows = tx.all(
            "SELECT user_name, server_name, coalesce(reason, '') FROM session"
            " WHERE hub LIKE 'service:%' ORDER BY reserved_at"
        )
    return [tuple(row) for row in rows]


def open_of(hub, env: Environment) -> str:
    return path(hub, Launch(None, env))


def test_it_is_made_once_and_the_next_reader_starts_at_once(hub, binder, repositories, reader):
    address, made = new_repository(repositories, "geo-env")
    where = open_of(hub, Environment(repository=address))
    page = reader.get(where)
    assert f"environment of {address}" in text_of(page)
    binder.goes_on.clear()
    page = reader.send_form(where)
    assert f"Make the environment of {address}" in text_of(page)
    wait_for("the build", lambda: "Picked Git content" in reader.get(page.url).text)
    assert [entry[:2] for entry in builds(hub)[-1:]] == [(reader.user, "build-geo-env")]
    binder.goes_on.set()
    follow(reader, page)
    image = BinderHub.image(made)
    assert options(hub, reader.user)["image--unlisted-choice"] == image
    assert binder.asked[-1].endswith(f"/{made}")
    assert builds(hub)[-1] == (reader.user, "build-geo-env", "built")
    asked, charged = list(binder.asked), builds(hub)

    again = reader.get(where)
    assert "running something else" not in text_of(again), "it runs what the link asks for"

    other = hub.login("other")
    page = other.send_form(where)
    assert "Make the environment" not in text_of(page)
    follow(other, page)
    assert options(hub, "other")["image--unlisted-choice"] == image
    assert (binder.asked, builds(hub)) == (asked, charged)


def test_a_branch_that_has_moved_is_made_anew(hub, binder, repositories, reader):
    address, first = new_repository(repositories, "moving")
    where = open_of(hub, Environment("choose", repository=address, ref="main"))
    follow(reader, reader.send_form(where))
    work = repositories.folder.parent / "work-moving"
    second = commit(work, {"environment.yml": "name: moved\n"})
    repositories.publish(work, "moving")
    assert second != first
    assert "Your server is running something else." in text_of(reader.get(where))
    other = hub.login(f"{reader.user}-b")
    follow(other, other.send_form(where))
    assert options(hub, other.user)["image--unlisted-choice"] == BinderHub.image(second)


def test_what_is_there_already_costs_nothing(hub, binder, repositories, reader):
    address, made = new_repository(repositories, "found")
    binder.built.add(BinderHub.image(made))
    follow(reader, reader.send_form(open_of(hub, Environment(repository=address))))
    assert options(hub, reader.user)["image--unlisted-choice"] == BinderHub.image(made)
    assert builds(hub)[-1] == (reader.user, "build-found", "found")


def test_many_who_wait_for_one_build(hub, binder, repositories):
    address, _made = new_repository(repositories, "awaited")
    where = open_of(hub, Environment(repository=address))
    binder.goes_on.clear()
    readers = [hub.login(f"waits{n}") for n in range(3)]
    pages = [reader.send_form(where) for reader in readers]
    for reader, page in zip(readers, pages, strict=True):
        wait_for("the build", lambda r=reader, p=page: "Picked Git" in r.get(p.url).text)
    binder.goes_on.set()
    for reader, page in zip(readers, pages, strict=True):
        follow(reader, page)
    assert len([spec for spec in binder.asked if "awaited" in spec]) == 1
    assert len([one for one in builds(hub) if one[1] == "build-awaited"]) == 1


def test_a_build_that_fails_says_why_and_is_tried_again(hub, binder, repositories, reader):
    address, made = new_repository(repositories, "broken")
    where = open_of(hub, Environment(repository=address))
    binder.fails = "conda: no such package"
    said = text_of(follow(reader, reader.send_form(where)))
    assert f"The environment of {address} can't be made: conda: no such package" in said
    assert "Step 1/3 : FROM ubuntu" in said
    assert not hub.server(reader.user)
    binder.fails = ""
    follow(reader, reader.send_form(where))
    assert options(hub, reader.user)["image--unlisted-choice"] == BinderHub.image(made)


def test_an_image_that_does_not_start_is_made_again(hub, binder, repositories, reader):
    address, made = new_repository(repositories, "gone")
    links = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    links.note_built(address, made, "NOT AN IMAGE")
    where = open_of(hub, Environment(repository=address))
    assert "failed validation regex" in text_of(reader.get(where))
    links.forget_built("NOT AN IMAGE")
    links.close()
    other = hub.login(f"{reader.user}-b")
    follow(other, other.send_form(where))
    assert options(hub, other.user)["image--unlisted-choice"] == BinderHub.image(made)


def test_a_build_that_the_quotas_refuse(hub, binder, repositories, reader):
    address, _made = new_repository(repositories, "dear")
    store = ledger(hub)
    group = WHOLE_HUB
    store.set_limit(group, "member.memory", "2G", "admin", "page")
    try:
        before = list(binder.asked)
        page = reader.send_form(open_of(hub, Environment("choose", repository=address)))
        said = text_of(follow(reader, page))
        assert "memory" in said
        assert "Who made the link can have it made for all" in said
        assert binder.asked == before
    finally:
        store.set_limit(group, "member.memory", None, "admin", "page")
        store.close()


def test_a_hub_without_a_binderhub_says_so(start_hub, kubernetes, repositories):
    hub = start_hub("kubeprofiles", image="server", **kubernetes.hub_settings)
    reader = hub.login("early")
    page = reader.get(open_of(hub, Environment(repository="https://git.example.org/env")))
    assert page.status_code == 403
    assert re.search(
        r"makes no environments of repositories, and https://git.example.org/env is one",
        text_of(page),
    )
