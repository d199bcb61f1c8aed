"""The fake Kubernetes cluster, and real hubs with KubeSpawner on it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import podchecks
import psutil
import pytest
from cluster import Cluster, namespace_of
from hubs import Hub, wait_for
from kubestore import field_selector, label_selector, merge

# -- what is checked, without a server ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [
        (0.5, "0.5", "500m"),
        (536870912, "536870912", "536870912"),
        ("2", "2", "2"),
        ("1.5Gi", "1610612736", "1536Mi"),
        ("1024Mi", "1073741824", "1Gi"),
        ("100m", "0.1", "100m"),
        ("1e3", "1000", "1k"),
        ("1G", "1000000000", "1G"),
        ("0", "0", "0"),
    ],
)
def test_quantities(text, number, canonical):
    assert podchecks.quantity(text) == Decimal(number)
    assert podchecks.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "1 Gi", "1K", "1gi", "512MB", "lots", None, True, "1,5", "٣"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="is no quantity"):
        podchecks.quantity(text)


def a_pod(name: str = "jupyter-ada", container: dict | None = None, **spec) -> dict:
    notebook = {"name": "notebook", "image": "server", **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"component": "singleuser-server"}},
        "spec": {"containers": [notebook], **spec},
    }


def with_resources(**resources) -> dict:
    return a_pod(container={"resources": resources})


def with_metadata(**metadata) -> dict:
    pod = a_pod()
    return {**pod, "metadata": {**pod["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (a_pod(), None),
        (with_resources(limits={"cpu": 1, "nvidia.com/gpu": "1"}, requests={"cpu": "1"}), None),
        (with_metadata(labels={"hub.jupyter.org/username": ""}), None),
        (a_pod("Ada"), "metadata.name: 'Ada' is not"),
        (a_pod("a" * 254), "metadata.name"),
        (with_metadata(labels={"username": "ada@example.org"}), "'ada@example.org' is no valid"),
        (with_metadata(labels={"group": "a" * 64}), "is no valid value"),
        (with_metadata(labels={"a/b/c": "x"}), "'a/b/c' is no valid key"),
        (with_metadata(annotations={"a b": "x"}), "'a b' is no valid key"),
        (with_metadata(annotations={"much": "x" * 262144}), "262148 bytes; at most 262144"),
        (with_resources(limits={"memory": "1Gib"}), "'1Gib' is no quantity"),
        (with_resources(limits={"memory": "-1Gi"}), "is negative"),
        (with_resources(limits={"gpu": 1}), "is neither a standard resource"),
        (with_resources(limits={"nvidia.com/gpu": "0.5"}), "'0.5' is no whole number"),
        (with_resources(requests={"nvidia.com/gpu": "1"}), "must equal the limit"),
        (
            with_resources(limits={"cpu": "500m"}, requests={"cpu": 0.6}),
            "requests[cpu]: 0.6 is above the limit, 0.5",
        ),
        (
            a_pod(initContainers=[{"name": "notebook", "image": "x"}]),
            "Duplicate value: 'notebook'",
        ),
        (a_pod(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "no volume 'v'"),
        (a_pod(nodeSelector={"pool": "a b"}), "'a b' is no valid value"),
    ],
)
def test_checks_of_pods(body, said):
    found = "\n".join(map(str, podchecks.check(body)))
    assert (said in found) if said else not found


def test_checks_of_volume_claims():
    def claim(storage, *modes):
        resources = {"requests": {"storage": storage}}
        return {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim-ada"},
            "spec": {"accessModes": list(modes), "resources": resources},
        }

    assert not podchecks.check(claim("1Gi", "ReadWriteOnce"))
    for bad in (claim("1Gi"), claim("1GB", "ReadWriteOnce"), claim("0", "ReadWriteOnce")):
        assert len(podchecks.check(bad)) == 1
    assert podchecks.check(claim("1Gi", "ReadWriteSometimes"))


def test_what_the_server_fills_in():
    def resources(pod):
        return pod["spec"]["containers"][0]["resources"]

    sent = with_resources(limits={"cpu": 0.5, "memory": 2**30}, requests={"cpu": 0.1})
    assert resources(podchecks.with_defaults(sent)) == {
        "limits": {"cpu": "500m", "memory": "1073741824"},
        "requests": {"cpu": "100m", "memory": "1073741824"},
    }
    assert resources(sent)["limits"]["cpu"] == 0.5, "what was sent is as it was"

    limit_range = {"default": {"memory": "1Gi"}, "defaultRequest": {"memory": "256Mi"}}
    assert resources(podchecks.with_defaults(a_pod(), limit_range)) == {
        "limits": {"memory": "1Gi"},
        "requests": {"memory": "256Mi"},
    }
    # A request above the default limit is refused by a real server too.
    more = podchecks.with_defaults(with_resources(requests={"memory": "2Gi"}), limit_range)
    assert "above the limit" in str(podchecks.check(more)[0])

    changed = podchecks.with_defaults(sent, memory_limit="512Mi")
    assert resources(changed)["limits"]["memory"] == "512Mi"
    assert not podchecks.check(changed)


def test_selectors():
    item = {"metadata": {"name": "x", "labels": {"a": "1", "b": ""}}, "involved": {"kind": "Pod"}}
    for text in ("", "a=1", "a==1", "a!=2", "c!=1", "a,b", "!c", "a in (1, 2),b", "a notin (3)"):
        assert label_selector(text)(item), text
    for text in ("a=2", "c", "!a", "a!=1", "a in (2,3)", "a,c", "a notin (1)"):
        assert not label_selector(text)(item), text
    assert field_selector("involved.kind=Pod,metadata.name!=y")(item)
    assert not field_selector("involved.kind=Node")(item)
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}) == {"a": {"c": 2, "d": 3}}


# -- the server, without a hub ------------------------------------------------------------------


class Api(httpx.Client):
    """A namespace of the cluster, for raw requests."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(base_url=f"{cluster.url}/api/v1/namespaces/{namespace}/", timeout=20)

    def phase(self, pod: str) -> str | None:
        answer = self.get(f"pods/{pod}")
        return answer.json()["status"]["phase"] if answer.is_success else None

    def watch(self, version: str, seconds: int = 2) -> list[tuple[str, dict]]:
        query = {"watch": "True", "resourceVersion": version, "timeoutSeconds": seconds}
        lines = self.get("pods", params=query).text.splitlines()
        return [(line["type"], line["object"]) for line in map(json.loads, lines)]


@pytest.fixture
def api(kubernetes: Cluster, request: pytest.FixtureRequest) -> Api:
    return Api(kubernetes, request.node.name.replace("_", "-")[:63].strip("-"))


def sleeping(name: str, code: str = "pass") -> dict:
    program = f"import time; {code}; print('up', flush=True); time.sleep(60)"
    return a_pod(name, {"command": [sys.executable, "-c", program]})


def test_what_is_invalid_is_refused_and_recorded(kubernetes, api):
    unknown = a_pod(container={"memory": "1Gi"})
    for body, why in (
        (a_pod("Ada"), "metadata.name"),
        (unknown, "'memory' was unexpected"),
        (with_resources(limits={"cpu": 1}, requests={"cpu": 2}), "above the limit"),
    ):
        answer = api.post("pods", json=body)
        assert answer.status_code == 422
        assert answer.json()["kind"] == "Status"
        assert answer.json()["reason"] == "Invalid"
        assert why in answer.json()["message"]
        assert kubernetes.get("test/rejected").json()[-1]["sent"] == body
    assert api.get("pods").json()["items"] == []


def test_conflicts_and_what_is_not_there(api):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    assert api.post("persistentvolumeclaims", json=claim).status_code == 201
    assert api.post("persistentvolumeclaims", json=claim).json()["reason"] == "AlreadyExists"
    assert api.delete("persistentvolumeclaims/claim").is_success
    assert api.delete("persistentvolumeclaims/claim").status_code == 404
    assert api.get("pods/nobody").json()["code"] == 404


def test_a_watch_tells_what_happened_since(kubernetes, api):
    before = api.get("pods").json()["metadata"]["resourceVersion"]
    api.post("pods", json=sleeping("one"))
    wait_for("the pod", lambda: api.phase("one") == "Running")
    patched = api.patch("pods/one", json={"metadata": {"labels": {"group": "course"}}})
    assert patched.json()["metadata"]["labels"]["group"] == "course"
    api.request("DELETE", "pods/one", params={"gracePeriodSeconds": 0})

    seen = api.watch(before)
    assert [type for type, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    versions = [int(pod["metadata"]["resourceVersion"]) for _, pod in seen]
    assert versions == sorted(set(versions))
    assert api.watch(str(versions[-1]), seconds=0) == []

    kubernetes.post("test/watches", gone=True)
    [(type, status)] = api.watch(before)
    assert (type, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_a_pod_has_its_grace_and_no_more(kubernetes, api):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    for name, code, grace in (("willing", "pass", 10), ("stubborn", stubborn, 1)):
        api.post("pods", json=sleeping(name, code))
        wait_for("the pod", lambda name=name: api.phase(name) == "Running")
        told = next(p for p in kubernetes.get("test/pods").json() if p["name"] == name)
        log = kubernetes.folder / "pods" / "volumes" / told["namespace"] / told["uid"]
        wait_for("the process", lambda log=log: "up" in (log / "server.log").read_text())

        asked = time.time()
        deleting = api.request("DELETE", f"pods/{name}", params={"gracePeriodSeconds": grace})
        assert "deletionTimestamp" in deleting.json()["metadata"]
        wait_for("the end", lambda name=name: api.phase(name) is None)
        told = next(p for p in kubernetes.get("test/pods").json() if p["name"] == name)
        if name == "willing":
            assert told["exit_code"] == 128 + signal.SIGTERM
            assert told["ended"] - asked < 1
        else:
            assert told["exit_code"] == 128 + signal.SIGKILL
            assert 1 <= told["ended"] - asked < 2
        assert not psutil.pid_exists(told["pid"])


def test_a_command_that_fails(api):
    for name, command, phase in (
        ("good", [sys.executable, "-c", ""], "Succeeded"),
        ("bad", [sys.executable, "-c", "exit(3)"], "Failed"),
        ("none", ["/nowhere/to/be/found"], "Failed"),
    ):
        api.post("pods", json=a_pod(name, {"command": command}))
        wait_for("the end", lambda name=name, phase=phase: api.phase(name) == phase)


@pytest.mark.hub
def test_pods_end_with_their_cluster(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.start()
    try:
        api = Api(cluster, "short")
        api.post("pods", json=sleeping("one"))
        wait_for("the pod", lambda: api.phase("one") == "Running")
        pid = cluster.get("test/pods").json()[0]["pid"]
        assert psutil.pid_exists(pid)
    finally:
        cluster.stop()
    wait_for("the end of the process", lambda: not psutil.pid_exists(pid))


# -- hubs ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(kubernetes: Cluster, start_hub: Callable[..., Hub]) -> Iterator[Hub]:
    """A hub without us; whatever a test does with it, nothing invalid may be sent."""
    settings = {"slow_spawn_timeout": 0, **kubernetes.hub_settings}
    hub = start_hub("kubeprofiles", base="bare", **settings)
    kubernetes.set()
    yield hub
    kubernetes.set()
    assert kubernetes.rejected(hub) == []


def spawn(hub: Hub, user: str, server: str = "", **options) -> dict:
    """Start a server and wait for it; returns the hub's model of it."""
    hub.api(f"users/{user}", "POST")
    path = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
    answer = hub.api(path, "POST", json=options)
    assert answer.is_success, answer.text
    return wait_for(f"{user}'s server", lambda: hub.server(user, server))


def stop(hub: Hub, user: str) -> None:
    assert hub.api(f"users/{user}/server", "DELETE").is_success
    wait_for("the stop", lambda: not hub.api(f"users/{user}").json()["servers"])


def resources(pod: dict, container: int = 0) -> dict:
    return pod["spec"]["containers"][container]["resources"]


def test_a_server_by_profile_from_start_to_stop(kubernetes, hub):
    # KubeSpawner looks for events once a second, and the hub at none that come when it is ready.
    kubernetes.set(start_delay=1.5)
    ada = hub.login("ada")
    hub.api("users/ada/server", "POST", json={"profile": "choose", "memory": "4g"})
    said = [event["message"] for event in ada.progress()]
    for step in ("Successfully assigned", "already present on machine"):
        assert any(step in message for message in said), said
    assert ada.get("user/ada/hello").text == "/user/ada/hello", "through the hub's proxy"

    [pod] = kubernetes.created(hub)
    assert resources(pod)["limits"] == {"cpu": "500m", "memory": "4294967296"}
    assert resources(pod["received"])["limits"] == {"cpu": 0.5, "memory": 4294967296}
    assert list(kubernetes.listed(hub, "persistentvolumeclaims")) == ["claim-ada"]
    assert psutil.Process(pod["pid"]).environ()["JUPYTERHUB_USER"] == "ada"

    stop(hub, "ada")
    [pod] = kubernetes.created(hub)
    assert pod["started"] < pod["ended"] <= time.time()
    assert not psutil.pid_exists(pod["pid"])
    assert kubernetes.listed(hub) == {}


def test_every_profile_makes_a_valid_pod(kubernetes, hub):
    kubernetes.set(stub=True)
    profiles = ("small", "choose", "gpu", "database", "burst")
    with ThreadPoolExecutor(len(profiles)) as pool:
        list(pool.map(lambda name: spawn(hub, f"tries-{name}", profile=name), profiles))
    pods = {pod["name"].removeprefix("jupyter-tries-"): pod for pod in kubernetes.created(hub)}
    assert resources(pods["gpu"])["requests"]["nvidia.com/gpu"] == "1"
    assert resources(pods["database"], 1)["limits"] == {"cpu": "500m", "memory": "256Mi"}
    burst = resources(pods["burst"])
    assert (burst["requests"]["cpu"], burst["limits"]["cpu"]) == ("100m", "2")


def test_a_server_that_is_killed_is_noticed(kubernetes, hub):
    spawn(hub, "ben")
    before = time.time()
    kubernetes.kill(hub, "jupyter-ben")
    wait_for("the hub to notice", lambda: not hub.api("users/ben").json()["servers"])
    pod = next(pod for pod in kubernetes.created(hub) if pod["name"] == "jupyter-ben")
    assert pod["exit_code"] == 128 + signal.SIGKILL
    assert before <= pod["ended"] < before + 1
    assert "jupyter-ben" not in kubernetes.listed(hub)


def test_a_container_that_is_restarted_is_not(kubernetes, hub):
    kubernetes.set(restarts=0)  # or the hub might ask in between
    spawn(hub, "cleo")
    kubernetes.kill(hub, "jupyter-cleo")

    def status():
        return kubernetes.listed(hub)["jupyter-cleo"]["status"]["containerStatuses"][0]

    wait_for("the restart", lambda: status()["restartCount"] == 1 and status()["ready"])
    assert status()["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    time.sleep(2)  # the hub asks every second
    assert hub.server("cleo")


def test_an_evicted_server_is_noticed_and_starts_again(kubernetes, hub):
    spawn(hub, "dan")
    kubernetes.evict(hub, "jupyter-dan")
    wait_for("the hub to notice", lambda: not hub.api("users/dan").json()["servers"])
    assert kubernetes.listed(hub)["jupyter-dan"]["status"]["reason"] == "Evicted"
    spawn(hub, "dan")
    assert kubernetes.listed(hub)["jupyter-dan"]["status"]["phase"] == "Running"


def test_a_named_server_is_a_pod_of_its_own(kubernetes, hub):
    kubernetes.set(stub=True)
    spawn(hub, "eva")
    spawn(hub, "eva", "second", profile="gpu")
    pods = [pod for pod in kubernetes.listed(hub).values() if "eva" in pod["metadata"]["name"]]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2


@pytest.mark.slow
def test_thirty_at_once(kubernetes, hub):
    stub = {"profile": "choose", "image--unlisted-choice": "stub"}
    users = [f"crowd-{number}" for number in range(30)]
    hub.api("users", "POST", json={"usernames": users})

    def ready():
        return sum(name.startswith("crowd") for name in names("ready"))

    def names(state):
        return [user["name"] for user in hub.api(f"users?state={state}").json()]

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda user: hub.api(f"users/{user}/server", "POST", json=stub), users))
        wait_for("all servers", lambda: ready() == 30)
        assert sum("crowd" in name for name in kubernetes.listed(hub)) == 30
        list(pool.map(lambda user: hub.api(f"users/{user}/server", "DELETE"), users))
    wait_for("the end of all", lambda: not any("crowd" in name for name in names("active")))
    assert not any("crowd" in name for name in kubernetes.listed(hub))


@pytest.mark.parametrize("gone", [True, False])
def test_a_hub_that_missed_something_looks_again(kubernetes, hub, gone):
    user = f"fred-{gone}".lower()
    spawn(hub, user)
    seen = len(hub.log)
    wait_for("a watch", lambda: kubernetes.end_watches(hub, gone=gone))
    kubernetes.kill(hub, f"jupyter-{user}")
    wait_for("the hub to notice", lambda: not hub.api(f"users/{user}").json()["servers"])
    assert ("Expired: too old resource version" in hub.log[seen:]) is gone
    spawn(hub, user)


def test_a_server_that_the_cluster_refuses(kubernetes, hub):
    kubernetes.set(stub=True)
    kubernetes.fail("create", "pods", status=403)
    hub.api("users/gus", "POST")
    hub.api("users/gus/server", "POST")
    wait_for("the end", lambda: "Failed for a test." in hub.log)
    wait_for("the end", lambda: not hub.api("users/gus").json()["servers"])
    spawn(hub, "gus")


def test_what_runs_may_differ_from_what_was_sent(kubernetes, hub):
    limit_range = {"default": {"ephemeral-storage": "1Gi"}}
    kubernetes.set(stub=True, memory_limit="128Mi", limit_range=limit_range)
    spawn(hub, "hal")
    stored = resources(kubernetes.listed(hub)["jupyter-hal"])
    assert stored["limits"] == {"cpu": "250m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
    assert stored["requests"] == stored["limits"]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["6.1", "5.5"])
def test_servers_outlive_a_hub_that_is_killed(kubernetes, fresh_hub, request, version):
    python = sys.executable if version == "6.1" else request.getfixturevalue("hub55")
    hub = fresh_hub("kube", python=python, slow_spawn_timeout=10, **kubernetes.hub_settings)
    spawn(hub, "ida")
    spawn(hub, "jan")
    ida, jan = (pod["pid"] for pod in kubernetes.created(hub))
    hub.kill()
    os.kill(jan, signal.SIGKILL)
    hub.start()
    assert hub.server("ida")
    assert psutil.pid_exists(ida)
    assert hub.server("jan") is None
    stop(hub, "ida")
    assert kubernetes.listed(hub) == {}
    assert kubernetes.rejected(hub) == []
    assert f"hub-{hub.settings['hub_port']}" == namespace_of(hub)
