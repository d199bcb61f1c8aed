"""Homes that are claims of Kubernetes: how they grow, and what they can't do."""

from __future__ import annotations

import itertools
import json
import os
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import podchecks
import pytest
from agents import StorageAgent
from cluster import Cluster, namespace_of
from hubs import Hub, wait_for

from hub_quotas import storage_store
from hub_quotas.storage_agent import claims as claims_module
from hub_quotas.storage_agent.backend import StorageError, holds
from hub_quotas.storage_agent.claims import HOMES, Claims, names, quantity, volumes
from hub_quotas.storage_agent.keeper import Keeper, Layout
from hub_quotas.storage_agent.kubernetes import Kubernetes, KubernetesError
from hub_quotas.storage_agent.layout import Template
from hub_quotas.storage_agent.memory import Memory

MIB, GIB = 2**20, 2**30
_numbers = itertools.count(1)


class Space:
    """A namespace with claims."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, f"claims-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        self.path = f"api/v1/namespaces/{self.name}/persistentvolumeclaims"
        self.api = Kubernetes(cluster.url, self.name)

    def make(self, name: str, size: str = "10Gi", user: str = "", **spec) -> None:
        notes = {"hub.jupyter.org/username": user} if user else {}
        notes |= {"hub.jupyter.org/servername": spec.pop("server")} if "server" in spec else {}
        self.cluster.post(
            self.path,
            apiVersion="v1",
            kind="PersistentVolumeClaim",
            metadata={"name": name, "annotations": notes},
            spec={
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}},
                **spec,
            },
        )

    def delete(self, path: str) -> None:
        """Not by the agent's own client: what that asks for is compared with what it may."""
        url = f"{self.cluster.url}/api/v1/namespaces/{self.name}/{path}"
        httpx.delete(url, params={"gracePeriodSeconds": 0}).raise_for_status()

    def backend(self, **options) -> Claims:
        return Claims(self.api, names(HOMES), **options)

    def claim(self, name: str) -> dict:
        return self.cluster.get(f"{self.path}/{name}").json()

    def asked(self, name: str) -> int:
        return int(podchecks.quantity(self.claim(name)["spec"]["resources"]["requests"]["storage"]))


@pytest.fixture
def space(kubernetes: Cluster) -> Iterator[Space]:
    kubernetes.set()
    yield Space(kubernetes)
    kubernetes.set()


def grown(backend: Claims, home: str, limit: int) -> None:
    wait_for(f"{home} to grow", lambda: holds(backend.read([home])[home], limit))


# -- the contract, as far as it is one of claims ------------------------------------------------


def test_a_limit_that_is_larger_makes_the_claim_grow(space):
    space.make("claim-pat")
    backend = space.backend()
    assert backend.read(["claim-pat"])["claim-pat"].limit == 10 * GIB
    said = backend.put({"claim-pat": 20 * GIB})
    assert said == {"claim-pat": "claim-pat is to grow to 20 GiB. It now has 10 GiB."}
    assert space.asked("claim-pat") == 20 * GIB
    grown(backend, "claim-pat", 20 * GIB)
    assert backend.put({"claim-pat": 20 * GIB}) == {}
    assert backend.read(["claim-pat"])["claim-pat"].used is None, "nobody has said"


def test_a_limit_that_is_smaller_changes_nothing_and_is_said(space):
    space.make("claim-pat")
    backend = space.backend()
    assert backend.put({"claim-pat": 5 * GIB}) == {
        "claim-pat": "claim-pat can't shrink: Kubernetes makes no volume smaller. It keeps 10 GiB."
    }
    assert space.asked("claim-pat") == 10 * GIB
    assert not holds(backend.read(["claim-pat"])["claim-pat"], 5 * GIB)
    # If it tried, it would be refused.
    change = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    with pytest.raises(KubernetesError, match="can not be less than status.capacity"):
        space.api.patch(f"/{space.path}/claim-pat", change)


def test_without_a_limit_a_claim_stays_as_it_is(space):
    space.make("claim-pat")
    backend = space.backend()
    assert holds(backend.read(["claim-pat"])["claim-pat"], None)
    assert backend.put({"claim-pat": None, "claim-of-nobody": 5 * GIB}) == {}
    assert space.asked("claim-pat") == 10 * GIB


def test_a_volume_that_is_larger_than_its_claim_asks_is_right(space):
    """Storage rounds up."""
    space.cluster.set(rounds_to=GIB)
    space.make("claim-pat")
    backend = space.backend()
    backend.put({"claim-pat": 10 * GIB + 512 * MIB})
    grown(backend, "claim-pat", 10 * GIB + 512 * MIB)
    assert backend.read(["claim-pat"])["claim-pat"].limit == 11 * GIB
    assert backend.put({"claim-pat": 10 * GIB + 512 * MIB}) == {}
    assert space.asked("claim-pat") == 10 * GIB + 512 * MIB


def test_many_claims_are_read_page_by_page(space, monkeypatch):
    monkeypatch.setattr("hub_quotas.storage_agent.kubernetes._PAGE", 7)
    for number in range(30):
        space.make(f"claim-user-{number}", "1Gi")
    backend = space.backend()
    homes = [f"claim-user-{number}" for number in range(30)]
    assert len(backend.read(homes)) == 30
    assert set(backend.put(dict.fromkeys(homes, 2 * GIB))) == set(homes)
    wait_for("all", lambda: all(holds(h, 2 * GIB) for h in backend.read(homes).values()))
    assert backend.room() == (60 * GIB, 60 * GIB)


def test_what_was_broken_off_between_two_claims_is_right_after_the_next_look(space):
    for name in ("claim-a", "claim-b"):
        space.make(name)
    wanted = {"claim-a": 20 * GIB, "claim-b": 30 * GIB}
    space.cluster.fail("patch", "persistentvolumeclaims", 500)
    said = space.backend().put(wanted)
    assert "can't grow to 20 GiB: Failed for a test. It keeps 10 GiB." in said["claim-a"]
    backend = space.backend()  # another process
    held = backend.read(wanted)
    backend.put({home: limit for home, limit in wanted.items() if not holds(held[home], limit)})
    for home, limit in wanted.items():
        grown(backend, home, limit)


def test_what_somebody_else_has_changed_meanwhile_is_not_undone(space):
    """Before a volume has grown, Kubernetes would take a smaller size, too."""
    space.make("claim-pat")
    space.cluster.set(resize="stuck")
    backend = space.backend()
    backend.read(["claim-pat"])
    change = {"spec": {"resources": {"requests": {"storage": "50Gi"}}}}
    space.api.patch(f"/{space.path}/claim-pat", change)
    said = backend.put({"claim-pat": 20 * GIB})
    assert space.asked("claim-pat") == 50 * GIB
    assert "can't shrink" in said["claim-pat"]


# -- why a claim does not grow ------------------------------------------------------------------


def test_a_storage_class_that_lets_nothing_grow_is_named(space):
    space.make("claim-pat", storageClassName="fixed")
    assert space.backend().put({"claim-pat": 20 * GIB}) == {
        "claim-pat": "claim-pat can't grow to 20 GiB: its storage class 'fixed' does not allow that"
        " (allowVolumeExpansion). It keeps 10 GiB."
    }


def test_where_classes_can_not_be_read_asking_tells(space):
    space.make("claim-pat", storageClassName="fixed")
    space.cluster.fail("get", "storageclasses", 403)
    said = space.backend().put({"claim-pat": 20 * GIB})["claim-pat"]
    assert "can't grow to 20 GiB: only dynamically provisioned pvc can be resized" in said


def test_a_quota_of_the_cluster_is_said_and_not_tried_all_the_time(space, monkeypatch):
    space.make("claim-pat")
    space.cluster.set(storage_quota=15 * GIB)
    backend = space.backend()
    said = backend.put({"claim-pat": 20 * GIB})["claim-pat"]
    assert "can't grow to 20 GiB: exceeded quota: homes, requested: " in said
    assert said.endswith(". It keeps 10 GiB.")
    space.cluster.set()
    assert backend.put({"claim-pat": 20 * GIB}) == {"claim-pat": said}
    assert space.asked("claim-pat") == 10 * GIB
    monkeypatch.setattr(claims_module, "_REFUSED_SECONDS", 0.0)
    backend.put({"claim-pat": 20 * GIB})
    grown(backend, "claim-pat", 20 * GIB)


def test_a_file_system_that_waits_for_a_start_says_so(space):
    space.make("claim-pat")
    space.cluster.set(resize="offline")
    backend = space.backend()
    backend.put({"claim-pat": 20 * GIB})

    def said(words: str) -> bool:
        backend.read(["claim-pat"])
        return words in backend.put({"claim-pat": 20 * GIB}).get("claim-pat", "")

    wait_for("it to be said", lambda: said("when its owner's server is started again"))
    space.cluster.grow(space.name, "claim-pat")
    grown(backend, "claim-pat", 20 * GIB)


def test_what_its_storage_can_not_do_is_said(space):
    space.make("claim-pat")
    space.cluster.set(resize="infeasible")
    backend = space.backend()
    backend.put({"claim-pat": 20 * GIB})

    def said() -> str:
        backend.read(["claim-pat"])
        return backend.put({"claim-pat": 20 * GIB})["claim-pat"]

    expected = "but can't: its storage has no volume of that size. It keeps 10 GiB."
    wait_for("it to be said", lambda: said().endswith(expected))


def test_one_that_does_not_grow_for_long_is_worth_a_look(space, monkeypatch):
    space.make("claim-pat")
    space.cluster.set(resize="stuck")
    backend = space.backend()
    backend.put({"claim-pat": 20 * GIB})
    monkeypatch.setattr(claims_module, "_STUCK_SECONDS", -1.0)
    assert (
        "see `kubectl describe pvc claim-pat`" in backend.put({"claim-pat": 20 * GIB})["claim-pat"]
    )


def test_a_claim_without_a_volume_grows_when_it_has_one(space):
    space.cluster.set(unbound=True)
    space.make("claim-pat")
    backend = space.backend()
    assert backend.read(["claim-pat"])["claim-pat"].limit == 10 * GIB
    said = backend.put({"claim-pat": 20 * GIB})["claim-pat"]
    assert said.endswith("yet: it has no volume, as before the first start of a server.")


# -- which claim is whose -----------------------------------------------------------------------


def test_a_claim_is_that_of_the_user_whom_kubespawner_has_noted(space):
    """Also with the name that an older KubeSpawner gave it."""
    space.make("claim-ada-2elovelace", user="ada.lovelace")
    space.make("claim-pat", user="pat")
    space.make("claim-pat-2d", user="pat")
    space.make("claim-pat--data", user="pat", server="data")
    space.make("hub-db")
    backend = space.backend()
    ada = Template.parse(HOMES).home("ada.lovelace")
    assert set(backend.read([ada, "claim-pat"])) == {ada, "claim-pat"}
    backend.put({ada: 20 * GIB, "claim-pat": 30 * GIB, "claim-pat--data": 30 * GIB})
    assert space.asked("claim-ada-2elovelace") == 20 * GIB
    assert space.asked("claim-pat") == 30 * GIB
    assert space.asked("claim-pat-2d") == space.asked("claim-pat--data") == 10 * GIB
    assert sorted(backend.listed("")) == sorted([ada, "claim-pat"])


def test_names_of_claims_have_no_slash():
    with pytest.raises(StorageError, match="has a slash, which no claim's name has; write claim-"):
        names("homes/{username}")


# -- what is used -------------------------------------------------------------------------------


def test_kubelets_know_what_is_used_of_volumes_that_are_mounted(space, monkeypatch):
    monkeypatch.setattr(claims_module, "_ASK_SECONDS", 0.0)
    for name in ("claim-pat", "claim-kim"):
        space.make(name, "1Gi")
    home = space.cluster.folder / "pods/volumes" / space.name / "claim-pat"
    home.mkdir(parents=True)
    (home / "data").write_bytes(bytes(5 * MIB))
    mount(space, "claim-pat")
    backend = space.backend(ask_kubelets=True)

    def used(claim: str) -> int | None:
        return backend.read(["claim-pat", "claim-kim"])[claim].used

    wait_for("the pod", lambda: (used("claim-pat") or 0) >= 5 * MIB)
    assert GIB - used("claim-pat") == GIB - GIB // 50 - 5 * MIB, "what is left is what is free"
    assert used("claim-kim") is None
    assert backend.room()[0] - backend.room()[1] >= 5 * MIB
    space.delete("pods/server")
    assert used("claim-pat") >= 5 * MIB, "as it was seen last"


def test_volumes_that_share_a_file_system_tell_nothing_of_a_claim(space, monkeypatch):
    monkeypatch.setattr(claims_module, "_ASK_SECONDS", 0.0)
    space.cluster.set(shared_volume=True)
    space.make("claim-pat", "1Gi")
    mount(space, "claim-pat")
    summary = space.api.get("/api/v1/nodes/node/proxy/stats/summary")
    wait_for("the pod", lambda: [*volumes(space.api.get(_SUMMARY), space.name)])
    assert summary["node"]
    assert space.backend(ask_kubelets=True).read(["claim-pat"])["claim-pat"].used is None


def test_where_kubelets_may_not_be_asked_claims_are_read_all_the_same(space, caplog):
    space.make("claim-pat")
    space.cluster.fail("list", "nodes", 403)
    held = space.backend(ask_kubelets=True).read(["claim-pat"])["claim-pat"]
    assert (held.used, held.limit) == (None, 10 * GIB)
    assert "What is used is not known: Kubernetes refuses (403)" in caplog.text


_SUMMARY = "/api/v1/nodes/node/proxy/stats/summary"


def mount(space: Space, claim: str) -> None:
    space.cluster.post(
        f"api/v1/namespaces/{space.name}/pods",
        apiVersion="v1",
        kind="Pod",
        metadata={"name": "server"},
        spec={
            "containers": [{"name": "notebook", "image": "stub"}],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": claim}}],
        },
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10Gi", 10 * GIB),
        ("1.5Gi", 3 * GIB // 2),
        ("10G", 10**10),
        ("12e6", 12 * 10**6),
        ("1E", 10**18),
        ("128974848", 128974848),
        ("9007199254740993", 9007199254740993),
        ("100k", 100_000),
        ("128974848000m", 128974848),
        ("ten", None),
        (None, None),
    ],
)
def test_quantities_are_those_of_kubernetes(text, size):
    assert quantity(text) == size


# -- the API server, from a pod -----------------------------------------------------------------


@pytest.fixture
def pod(tmp_path, monkeypatch) -> Iterator[tuple[Path, list[str]]]:
    """A pod's folder, and the tokens that the API server of its cluster was sent."""
    tokens: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers["Authorization"])
            busy = self.path.endswith("/busy") and len(tokens) == 1
            self.send_response(429 if busy else 307 if self.path.endswith("/away") else 200)
            self.send_header("Retry-After", "0")
            self.send_header("Location", "/api/v1/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps({"path": self.path}).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    key, certificate = tmp_path / "key", tmp_path / "ca.crt"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-subj", "/CN=kubernetes", "-keyout", str(key)]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    server = HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("jhub")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    yield tmp_path, tokens
    server.shutdown()
    server.server_close()


def test_in_a_pod_its_account_is_used_and_its_token_is_read_anew(pod):
    folder, tokens = pod
    api = Kubernetes(account=folder)
    assert api.namespace == "jhub"
    api.get("/api/v1/nodes")
    (folder / "token").write_text("second\n")  # as the kubelet does every hour
    api.get("/api/v1/nodes")
    assert tokens == ["Bearer first", "Bearer second"]


def test_a_server_that_is_busy_is_asked_again_and_no_redirect_is_followed(pod):
    folder, tokens = pod
    api = Kubernetes(account=folder)
    assert api.get("/api/v1/busy") == {"path": "/api/v1/busy"}
    assert len(tokens) == 2
    with pytest.raises(KubernetesError, match=r"refuses \(307\)"):
        api.get("/api/v1/away")
    assert len(tokens) == 3


def test_a_pod_asks_kubelets_themselves(pod):
    """By way of the API server it would need a right with which it could do anything."""
    folder, tokens = pod
    api = Kubernetes(account=folder)
    port = int(os.environ["KUBERNETES_SERVICE_PORT"])
    address = [{"type": "InternalIP", "address": "127.0.0.1"}]
    endpoints = {"kubeletEndpoint": {"Port": port}}
    node = {"metadata": {"name": "n"}, "status": {"addresses": address}}
    node["status"]["daemonEndpoints"] = endpoints
    assert api.summary(node) == {"path": "/stats/summary"}
    assert tokens == ["Bearer first"]
    address[0]["address"] = "localhost"  # which is not in the certificate
    with pytest.raises(
        KubernetesError, match=r"https://localhost:\d+ can't be asked: .*certificate"
    ):
        api.summary(node)
    assert tokens == ["Bearer first"], "nobody else is told"


def test_what_is_missing_outside_of_a_pod_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(StorageError, match="This is no pod of Kubernetes: run it in one, or"):
        Kubernetes(account=tmp_path)
    with pytest.raises(StorageError, match="No namespace is known; give --namespace NAME"):
        Kubernetes("http://127.0.0.1:8001", account=tmp_path)
    with pytest.raises(StorageError, match="is not an address; write http://127.0.0.1:8001"):
        Kubernetes("127.0.0.1:8001", "jhub")
    with pytest.raises(KubernetesError, match="can't be asked: .*refused"):
        Kubernetes("http://127.0.0.1:1", "jhub").get("/api")


# -- a real KubeSpawner, a real hub and a real agent ---------------------------------------------


@pytest.fixture(scope="module")
def hub(kubernetes: Cluster, start_hub) -> Hub:
    settings = {"base": "storage", "image": "stub", **kubernetes.hub_settings}
    return start_hub("kubehooks", **settings)


def size_of(kubernetes: Cluster, hub: Hub, claim: str) -> int | None:
    found = kubernetes.listed(hub, "persistentvolumeclaims").get(claim)
    if found is None:
        return None
    return int(podchecks.quantity(found["status"]["capacity"]["storage"]))


def start(hub: Hub, user: str) -> None:
    if hub.server(user):
        return
    hub.api(f"users/{user}", "POST")
    answer = hub.api(f"users/{user}/server", "POST")
    assert answer.is_success, answer.text
    wait_for(f"{user}'s server", lambda: hub.server(user))


def test_a_new_claim_is_as_large_as_its_owners_limit(kubernetes, hub):
    kubernetes.set(stub=True)
    hub.limits("geo: {member.storage: 3G}\ndefault: {member.storage: 2G}")
    start(hub, "pat")
    start(hub, "sam")
    assert size_of(kubernetes, hub, "claim-pat") == 3 * GIB
    assert size_of(kubernetes, hub, "claim-sam") == 2 * GIB
    hub.limits("geo: {member.memory: 30G}")
    start(hub, "lee")
    assert size_of(kubernetes, hub, "claim-lee") == GIB, "as the hub's configuration says"


def test_a_claim_grows_with_its_owners_limit_and_the_pages_say_what_is_known(
    kubernetes, hub, tmp_path
):
    kubernetes.set(stub=True)
    hub.limits("geo: {member.storage: 3G}\ndefault: {member.storage: 2G}")
    for user in ("pat", "sam"):
        start(hub, user)
    where = ["--claims", "--api", kubernetes.url, "--namespace", namespace_of(hub)]
    agent = StorageAgent(tmp_path, hub, None, *where)
    hub.limits("geo: {member.storage: 6G}\ndefault: {member.storage: 1G}")

    def planned(words: str) -> bool:
        return words in agent.plan().stdout

    wait_for("the plan", lambda: planned("claim-pat: 6 GiB, now 3 GiB"))
    assert planned("claim-sam: claim-sam can't shrink: Kubernetes makes no volume smaller.")
    assert size_of(kubernetes, hub, "claim-pat") == 3 * GIB
    agent.start()
    wait_for("pat's claim", lambda: size_of(kubernetes, hub, "claim-pat") == 6 * GIB)

    def known(user: str) -> tuple[int | None, int | None, str]:
        kind, name = ("user", "pat") if user == "pat" else ("other", "claim-sam")
        found = storage_store.directories(hub.ledger(), kind, [name])
        return (found[0].used, found[0].applied, found[0].problem) if found else (0, 0, "")

    wait_for("the hub to know", lambda: known("pat") == (None, 6 * GIB, ""))
    said = "claim-sam can't shrink: Kubernetes makes no volume smaller. It keeps 2 GiB."
    wait_for("what can't be", lambda: known("sam") == (None, 2 * GIB, said))
    page = " ".join(hub.login("pat").get("services/quotas/").text.split())
    assert "It has 6 GiB; what is used of it is not known." in page
    group = hub.login("prof-ada").get("services/quotas/groups/geo").text
    assert "It has 6 GiB; what is used of it is not known." in " ".join(group.split())
    [mount] = storage_store.mounts(hub.ledger())
    assert (mount.name, mount.backend) == ("homes", "claims of Kubernetes")
    agent.kill()
    hub.limits("geo: {member.storage: 7G}")
    agent.start()
    wait_for("pat's claim", lambda: size_of(kubernetes, hub, "claim-pat") == 7 * GIB)
    assert "Traceback" not in agent.log
    assert agent.stop() == 0


@pytest.mark.slow
def test_the_size_of_claims_can_be_left_to_the_configuration(kubernetes, start_hub):
    kubernetes.set(stub=True)
    settings = {"image": "stub", "config": "c.HubQuotas.size_claims = False"}
    hub = start_hub("kubehooks", **settings, **kubernetes.hub_settings)
    hub.limits("default: {member.storage: 2G}")
    start(hub, "pat")
    assert size_of(kubernetes, hub, "claim-pat") == GIB


def test_nobody_looks_into_a_volume_where_the_agent_happens_to_run(tmp_path, monkeypatch):
    (tmp_path / "claim-pat").mkdir()
    monkeypatch.chdir(tmp_path)
    cluster = Claims(Kubernetes("http://127.0.0.1:1", namespace="jhub"), names(HOMES))
    keeper = Keeper(Path(), cluster, Layout(names(HOMES)), Memory(None), place=cluster)
    with pytest.raises(StorageError, match="volumes, which can't be looked into"):
        keeper.find("user", "pat")
