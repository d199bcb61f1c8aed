"""Pods: what is charged is what runs, whoever changed it on the way; and when it ended."""

from __future__ import annotations

import html
import sys
import time

import matrix
import podchecks
import pytest
from cluster import Cluster
from hubs import Hub, wait_for

MIB, GIB = 2**20, 2**30


@pytest.fixture
def hub(kubernetes: Cluster, start_hub) -> Hub:
    hub = start_hub("kubehooks", **kubernetes.hub_settings)
    kubernetes.set()
    yield hub
    kubernetes.set()
    for session in hub.ledger().open_sessions():
        hub.api(f"users/{session.user}/server", "DELETE")
    wait_for("the end of all", lambda: not hub.ledger().open_sessions())


def spawn(hub: Hub, user: str, **options):
    """Ask for a server; returns the answer."""
    hub.api(f"users/{user}", "POST")
    return hub.api(f"users/{user}/server", "POST", json=options)


def up(hub: Hub, user: str, **options) -> dict[str, int]:
    """Start a server; returns what is charged for it."""
    answer = spawn(hub, user, **options)
    assert answer.is_success, answer.text
    wait_for(f"{user}'s server", lambda: hub.server(user))
    [session] = hub.ledger().open_sessions(user)
    return session.granted


def pods(kubernetes: Cluster, hub: Hub, user: str) -> list[dict]:
    return [pod for pod in kubernetes.created(hub) if pod["name"] == f"jupyter-{user}"]


def limits(pod: dict, container: int = 0) -> dict[str, int]:
    found = pod["spec"]["containers"][container]["resources"].get("limits", {})
    return {name: int(podchecks.quantity(amount)) for name, amount in found.items()}


def refused(answer, code: str, hub: Hub, user: str, status: int = 403) -> str:
    """The words of a refusal, of which nothing is left."""
    assert answer.status_code == status, answer.text
    assert f"Refused {user}: ({code})" in hub.log
    wait_for("the end", lambda: not hub.ledger().open_sessions(user))
    assert hub.server(user) is None
    return answer.json()["message"]


# -- what the admin's configuration changes ----------------------------------------------------


def test_a_hook_that_asks_for_more_than_fits_is_refused_before_there_is_a_pod(kubernetes, hub):
    hub.limits("default: {server.memory: 1G}")
    said = refused(spawn(hub, "ada", pod_memory="2Gi"), "quota-pod", hub, "ada")
    assert "was changed by this hub's configuration" in said
    assert "2 GiB of memory instead of 512 MiB" in said
    assert (
        "The group default allows each server at most 1 GiB of memory; this one asks for 2 GiB."
        in said
    )
    assert pods(kubernetes, hub, "ada") == []


def test_a_hook_that_asks_for_more_than_the_form_is_charged_for_that(kubernetes, hub):
    hub.limits("default: {server.memory: 1G}")
    assert up(hub, "ben", pod_memory="768Mi")["memory"] == 768 * MIB
    [pod] = pods(kubernetes, hub, "ben")
    assert limits(pod)["memory"] == 768 * MIB
    assert pod["received"]["metadata"]["annotations"]["admins-hook"] == "ran"


def test_what_containers_are_given_beside_the_traits_is_counted(kubernetes, hub):
    hub.limits("default: {server.memory: 2G}")
    own = {"extra_container_config": {"resources": {"limits": {"memory": "3Gi"}}}}
    said = refused(spawn(hub, "cleo", traits=own), "quota-server", hub, "cleo")
    assert "this one asks for 3 GiB" in said

    own["extra_container_config"]["resources"]["limits"]["memory"] = "1Gi"
    own["extra_containers"] = [
        {"name": "db", "image": "db", "resources": {"limits": {"memory": "256Mi", "cpu": "250m"}}},
        {"name": "proxy", "image": "proxy", "resources": {"requests": {"memory": "64Mi"}}},
    ]
    charged = up(hub, "cleo", traits=own)
    [pod] = pods(kubernetes, hub, "cleo")
    assert charged["memory"] + charged.get("memory+burst", 0) == (1024 + 256 + 64) * MIB
    assert limits(pod) == {"memory": GIB}, "the whole of the limits was overridden"
    assert charged["cpu"] == 250


def test_a_notebook_without_a_limit_gets_the_cap(kubernetes, hub):
    hub.limits("default: {server.memory: 1G}")
    assert up(hub, "dan", traits={"mem_limit": None})["memory"] == GIB
    assert limits(pods(kubernetes, hub, "dan")[0])["memory"] == GIB


def test_a_notebook_and_its_sidecar_get_the_cap_together(kubernetes, hub):
    hub.limits("default: {server.memory: 1G}")
    sidecar = {"name": "db", "image": "db", "resources": {"limits": {"memory": "256Mi"}}}
    charged = up(hub, "eva", traits={"mem_limit": None, "extra_containers": [sidecar]})
    assert charged["memory"] == GIB
    [pod] = pods(kubernetes, hub, "eva")
    assert [limits(pod, n)["memory"] for n in (0, 1)] == [768 * MIB, 256 * MIB]


# -- what the cluster changes ------------------------------------------------------------------


def test_a_pod_that_the_cluster_makes_too_large_is_stopped(kubernetes, hub):
    hub.limits("default: {server.memory: 1G}")
    kubernetes.set(memory_limit="4Gi")
    said = refused(spawn(hub, "finn"), "quota-pod", hub, "finn")
    assert "was changed by the cluster" in said
    assert "4 GiB of memory instead of 512 MiB" in said
    wait_for("the end of the pod", lambda: "jupyter-finn" not in kubernetes.listed(hub))
    assert hub.in_use() == {}


def test_what_a_namespace_has_as_its_default_is_charged(kubernetes, hub):
    """A LimitRange gives limits to containers that have none."""
    hub.limits("default: {member.servers: 1}")
    kubernetes.set(limit_range={"default": {"memory": "256Mi", "cpu": "1"}})
    charged = up(hub, "gil", traits={"mem_limit": None, "cpu_limit": None})
    assert charged == {"servers": 1, "memory": 256 * MIB, "cpu": 1000}
    assert matrix.asked_by(pods(kubernetes, hub, "gil")[0]) == charged


# -- when it ended -----------------------------------------------------------------------------


def ended(hub: Hub, user: str) -> int:
    """When the ledger says that it ended, in seconds."""
    wait_for("the end", lambda: not hub.ledger().open_sessions(user))
    session = [s for s in hub.ledger().sessions() if s.user == user][-1]
    assert session.reason == "died"
    assert session.closed_at % 10**6 == 0, "Kubernetes tells whole seconds"
    used = hub.ledger().used("default", user, "cpu", 0, 2**62)
    assert used == 500 * (session.closed_at - session.reserved_at)
    return session.closed_at // 10**6


def test_a_pod_that_died_is_charged_until_then(kubernetes, hub):
    hub.limits("default: {member.servers: 1}")
    up(hub, "hal")
    time.sleep(1.5)
    kubernetes.kill(hub, "jupyter-hal")
    at = ended(hub, "hal")
    assert at == int(pods(kubernetes, hub, "hal")[0]["ended"])


@pytest.mark.slow
def test_a_pod_that_died_while_the_hub_was_dead_is_charged_until_then(kubernetes, fresh_hub):
    hub = fresh_hub("kube", cleanup_servers=False, **kubernetes.hub_settings)
    up(hub, "ida")
    time.sleep(1.5)
    hub.kill()
    kubernetes.kill(hub, "jupyter-ida")
    time.sleep(3)
    hub.start()
    at = ended(hub, "ida")
    assert at == int(pods(kubernetes, hub, "ida")[0]["ended"])


# -- settings ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_who_asks_for_more_than_a_server_may_have_gets_that_where_an_admin_says_so(
    kubernetes, fresh_hub
):
    hub = fresh_hub(
        "kubehooks", config='c.HubQuotas.on_excess = "clamp"', **kubernetes.hub_settings
    )
    hub.limits("default: {server.memory: 1G, server.cpu: 0.25, server.gpu: 1}")
    gpus = {"extra_resource_limits": {"nvidia.com/gpu": "2"}}
    charged = up(hub, "jo", traits={"mem_limit": "8G", "mem_guarantee": "2G", **gpus})
    assert charged["memory"] == GIB
    assert charged["cpu"] == 250
    assert charged["gpu"] == 1
    [pod] = pods(kubernetes, hub, "jo")
    assert matrix.asked_by(pod["received"]) == charged


@pytest.mark.slow
def test_an_unknown_choice_is_said_on_every_path(kubernetes, start_hub):
    hub = start_hub("kubefancy", **kubernetes.hub_settings)
    kim = hub.login("kim")
    page = "hub/spawn/kim"
    for answer in (
        kim.get(f"{page}?opt-profile=none"),
        kim.send_form(page, profile="none"),
        kim.send_form(f"{page}/second", profile="none"),
        hub.api("users/kim/server", "POST", json={"profile": "none"}),
        hub.api("users/kim/server", "POST", json={"profile": "choose", "memory": "9g"}),
        kim.send_form(page, profile="choose", **{"profile-option-choose--memory": "9g"}),
    ):
        assert answer.status_code == 400
        assert "No such choice: " in html.unescape(answer.text)
    assert "Refused kim: (quota-choice)" in hub.log
    assert hub.ledger().open_sessions("kim") == []
    assert kubernetes.created(hub) == []

    kim.send_form(page, profile="none")
    assert up(hub, "kim"), "the default; not what was asked for last time"
    hub.api("users/kim/server", "DELETE")


# -- an institution's hub ----------------------------------------------------------------------


@pytest.fixture(params=["6.1", pytest.param("5.5", marks=pytest.mark.slow)])
def institution(request: pytest.FixtureRequest, kubernetes: Cluster, start_hub) -> Hub:
    python = sys.executable if request.param == "6.1" else request.getfixturevalue("hub55")
    hub = start_hub("twoi2c", python=python, **kubernetes.hub_settings)
    hub.limits("""
        students: {server.memory: 512M}
        research: {group.gpu: 1, server.memory: 2G}
    """)
    return hub


def test_profiles_by_group_are_shown_and_charged_by_group(kubernetes, institution):
    hub = institution
    sam, ria = hub.login("sam"), hub.login("ria")
    page = html.unescape(sam.get("hub/spawn/sam").text)
    assert "<strong>Teaching</strong>: would start" in page
    assert "GPU" not in page
    assert "<strong>Plain</strong>: would start" in page
    page = html.unescape(ria.get("hub/spawn/ria").text)
    assert "<strong>GPU</strong>: would start" in page
    plain = "research allows each server at most 2 GiB of memory; this one asks for 3 GiB."
    assert f"<strong>Plain</strong>: {plain}" in page, "by the overrides of the group"
    answer = ria.send_form("hub/spawn/ria", profile="plain")
    assert answer.status_code == 403
    assert plain in html.unescape(answer.text)

    size = "profile-option-teaching--size"
    for options in ({size: "large"}, {f"{size}--unlisted-choice": "2G"}):
        answer = sam.send_form("hub/spawn/sam", profile="teaching", **options)
        assert answer.status_code == 403
        assert "students allows each server at most 512 MiB" in html.unescape(answer.text)
    assert sam.send_form("hub/spawn/sam", profile="gpu").status_code == 400
    answer = sam.send_form(
        "hub/spawn/sam", profile="teaching", **{f"{size}--unlisted-choice": "2X"}
    )
    assert answer.status_code == 400
    assert "No such choice: 2X is not a valid memory" in html.unescape(answer.text)
    assert pods(kubernetes, hub, "sam") == []

    image = {"profile-option-teaching--image--unlisted-choice": "server:other"}
    sam.send_form(
        "hub/spawn/sam", profile="teaching", **{f"{size}--unlisted-choice": "300M"}, **image
    )
    wait_for("the server", lambda: hub.server("sam"))
    [pod] = pods(kubernetes, hub, "sam")
    [session] = hub.ledger().open_sessions("sam")
    assert pod["spec"]["containers"][0]["image"] == "server:other"
    assert session.group == "students"
    assert session.granted == matrix.asked_by(pod["received"])
    assert session.granted["memory"] == 300 * MIB


def test_what_an_admin_configures_after_us_runs_unchanged(kubernetes, institution):
    hub = institution
    hub.login("ria")
    charged = up(hub, "ria", profile="gpu")
    [pod] = pods(kubernetes, hub, "ria")
    for said in ("pre_spawn_hook", "modify_pod_hook", "start"):
        assert f"institution's {said} for ria" in hub.log
    assert pod["received"]["metadata"]["annotations"]["institution"] == "uni"
    assert pod["spec"]["nodeSelector"] == {"pool": "research"}
    environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert environment["INSTITUTION"] == "uni"
    assert charged["gpu"] == charged["nvidia.com/gpu"] == 1

    zoe = hub.login("zoe")
    page = html.unescape(zoe.get("hub/spawn/zoe").text)
    assert "research may have 1 GPU at once; all its members together have 1 GPU in use" in page
    answer = zoe.send_form("hub/spawn/zoe", profile="gpu", charged_group="research")
    assert answer.status_code == 403
    assert "research may have 1 GPU at once" in html.unescape(answer.text)
    # Students have no cap on GPUs, but one on memory.
    answer = zoe.send_form("hub/spawn/zoe", profile="gpu")
    assert answer.status_code == 403
    assert "students allows each server at most 512 MiB" in html.unescape(answer.text)


# -- the spawn page ----------------------------------------------------------------------------

LEFT = """
    alpha: {member.servers: 3, server.memory: 1G, member.cpu-hours: 20 per 7d, server.lifetime: 8h}
    beta: {group.gpu: 0, group.memory: 64G}
"""


@pytest.fixture(params=[pytest.param("kubeprofiles", marks=pytest.mark.slow), "kubefancy"])
def chooser(request: pytest.FixtureRequest, kubernetes: Cluster, start_hub):
    """Somebody with two groups, on a hub with profiles."""
    hub = start_hub(request.param, **kubernetes.hub_settings)
    hub.limits(LEFT)
    visitor = hub.login("chooser")
    for group in ("alpha", "beta"):
        hub.api(f"groups/{group}", "POST")
        hub.api(f"groups/{group}/users", "POST", json={"users": ["chooser"]})
    return visitor


def test_the_spawn_page_says_what_is_left_and_why_not(chooser):
    page = html.unescape(chooser.get("hub/spawn/chooser").text)
    alpha, _, beta = page.partition(">alpha<")[2].partition(">beta<")
    assert "Servers, me: 0 of 3 servers" in alpha
    assert "CPU-hours, me, in any 7 days: 0 of 20 CPU-hours" in alpha
    assert "<strong>Small</strong>: would start; what is left lasts 3 days at least" in alpha
    assert "alpha lets each server run for 8 h." in alpha
    assert "<strong>GPU</strong>: alpha allows each server at most 1 GiB of memory" in alpha
    assert "<strong>Small</strong>: would start" in beta
    assert "<strong>GPU</strong>: beta allows no GPUs." in beta
    assert "Memory, the whole group: 0 of 64 GiB" in beta


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_the_spawn_page_in_a_browser(chooser, kubernetes, new_page, width):
    hub = chooser.hub
    page = new_page(viewport={"width": width, "height": 900})
    page.goto(f"{hub.base}hub/spawn/chooser")
    page.get_by_label("Username").fill("chooser")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Start").wait_for()
    page.get_by_role("region", name="What is left").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_label("Charge to").select_option("beta")
    if hub.world == "kubefancy":
        page.locator("#form").get_by_text("Guaranteed in part").click()
    else:
        page.get_by_role("radio", name="Guaranteed in part").check()
    page.get_by_role("button", name="Start").click()
    wait_for("the server", lambda: hub.server("chooser"))
    [session] = hub.ledger().open_sessions("chooser")
    assert session.group == "beta"
    assert session.granted["memory+burst"] == 2 * GIB - 256 * MIB
    hub.api("users/chooser/server", "DELETE")
    wait_for("the end", lambda: not hub.ledger().open_sessions("chooser"))
