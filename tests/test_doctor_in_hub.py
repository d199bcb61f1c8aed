"""A doctor finds what is really wrong with a hub, and only that; on a healthy hub nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from hubs import HERE, TOKEN, Hub, free_port
from post import MailServer
from postgres import fresh_database

from hub_groups.database import open_engine
from hub_quotas.doctor_config import read_config
from hub_quotas.doctor_process import Started, started
from hub_quotas.migrate import LEDGER

pytestmark = [pytest.mark.slow, pytest.mark.hub]

PROXY_TOKEN = "a-token-of-the-proxy"
ADVISORY = "limits-advisory"
SECRET = "a-secret-password"
LOAD = f"""
import sys
from pathlib import Path
print("A configuration may print.")
c.ConfigurableHTTPProxy.auth_token = "{PROXY_TOKEN}"
for drop_in in sorted(Path(sys.prefix, "etc/jupyterhub/jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(drop_in))
"""


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("snippet", config=LOAD)


def world_of(hub: Hub, name: str = "") -> str:
    """A copy of a configuration, as old as it is: it is read with what the test says, not as a hub
    that runs with it was started."""
    worlds = hub.folder / "worlds"
    if not worlds.exists():
        shutil.copytree(HERE / "worlds", worlds)
    return str(worlds / f"{name or hub.world}.py")


def doctor(hub: Hub, *options: str, python: str = "", **settings: Any) -> tuple[set[str], str]:
    """The codes of what is found, and all that is said; not that local servers are not held to
    limits, which is so in each world."""
    command = str(Path(python or hub.python).parent / "hub-group-quotas")
    where = [] if "-f" in options else ["-f", world_of(hub)]
    done = subprocess.run(
        [command, "doctor", "--json", *where, *options],
        cwd=hub.folder,
        env={**os.environ, "WORLD": json.dumps({**hub.settings, **settings})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert not done.stderr, said
    for secret in (SECRET, TOKEN, PROXY_TOKEN, "Traceback"):
        assert secret not in said
    found = json.loads(done.stdout)["findings"]
    assert all(one["what"] and one["where"] and one["fix"] for one in found)
    bad = any(one["level"] != "hint" for one in found)
    assert done.returncode == (3 if bad else 0), said
    return {one["code"] for one in found} - {ADVISORY}, said


def seeded(hub: Hub, lines: str, **options: Any) -> tuple[set[str], str]:
    """With these lines more at the end of its configuration."""
    return doctor(hub, config=LOAD + lines, **options)


# -- healthy --------------------------------------------------------------------------------------


def test_nothing_is_found_on_a_healthy_hub(hub):
    found, said = doctor(hub)
    assert found == set(), said
    fine = json.loads(said)["fine"]
    assert len(fine) == 8, fine
    assert [one["code"] for one in json.loads(said)["findings"]] == [ADVISORY]
    assert "hub_quotas.cgroups.LimitedSimpleLocalProcessSpawner" in said
    assert "The pages of groups, quotas, launch are served: through http://127.0.0.1" in said


def test_nothing_is_found_on_a_healthy_hub_of_5_5(start_hub, hub55):
    hub = start_hub("snippet", python=hub55, config=LOAD)
    found, said = doctor(hub)
    assert found == set(), said
    assert len(json.loads(said)["fine"]) == 8
    assert seeded(hub, "c.HubGroups.scim = True\n")[0] == {"extra-missing"}
    lines = f'c.HubQuotas.db_url = "postgresql+psycopg://hub:{SECRET}@127.0.0.1:1/a"\n'
    found, said = seeded(hub, lines)
    assert found == {"setting-invalid"}, "the settings ask for the driver themselves"
    assert "[postgres]" in said


def test_who_comes_through_the_proxy_is_told_nothing(hub):
    path = "hub/api/group-quotas/state"
    assert httpx.get(f"http://127.0.0.1:{hub.settings['hub_port']}/{path}").status_code == 200
    assert httpx.get(f"{hub.base}{path}").status_code == 404
    assert hub.api("group-quotas/state").status_code == 404, "nor with an admin's token"


def test_a_running_hub_says_how_it_was_started(hub):
    found = started(hub.process.pid)
    assert found.config == HERE / "worlds" / "snippet.py"
    assert found.folder == hub.folder
    assert json.loads(found.environment["WORLD"]) == hub.settings
    assert read_config(found).config.packages == ("hub_groups", "hub_quotas", "share_links")
    assert started(os.getpid()) is None


# -- the configuration ----------------------------------------------------------------------------

ELSEWHERE = """
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
"""
RIVAL = """
import types
c.Spawner.pre_spawn_hook = types.FunctionType((lambda spawner: None).__code__, {
    "__name__": "jupyterhub_usage_quotas.hook"})
"""


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ('import os\nos.environ["OAUTH_CLIENT"]\n', "config-unreadable"),
        ("raise SystemExit(3)\n", "config-unreadable"),
        ("import os\nos._exit(7)\n", "config-unreadable"),
        ("c.JupyterHub.hub_port = 'many'\n", "config-unreadable"),
        ('c.HubQuotas.policy = "/srv/there-is-none.yaml"\n', "setting-invalid"),
        ('c.HubQuotas.curency = "EUR"\n', "setting-unknown"),
        ('c.HubQuota.currency = "EUR"\n', "setting-unknown"),
        ('c.HubGroups.rosters = ["/srv/there-is-none.csv"]\n', "file-unreadable"),
        ('c.HubGroups.rules = "/srv/there-is-none.yaml"\n', "file-unreadable"),
        ("c.Authenticator.auth_refresh_age = 0\n", "refresh-off"),
        (RIVAL, "rival"),
        (ELSEWHERE, "pages-local"),
        (f'{ELSEWHERE}c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"\n', "pages-local"),
        ("c.JupyterHub.hub_port = 1\n", "hub-unreachable"),
    ],
)
def test_what_is_wrong_with_a_configuration(hub, lines, code):
    found, said = seeded(hub, lines)
    assert found == {code}, said
    assert ("hub.service.extraPorts" in said) == ("kubespawner" in lines)


def test_drop_ins_that_are_not_loaded(hub):
    assert doctor(hub, config="")[0] == {"drop-ins-missing"}
    assert doctor(hub, config=LOAD.replace("*.py", "20*.py"))[0] == {"drop-ins-partial"}


def test_a_configuration_that_hangs(tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text("import time\ntime.sleep(60)\n")
    assert read_config(Started(file), 3).config.problem == "it was not done after 3 s."


def test_where_a_hub_and_its_proxy_are_asked(tmp_path):
    file = tmp_path / "jupyterhub_config.py"

    def read(*lines: str, **environment: str):
        file.write_text("\n".join(lines))
        return read_config(Started(file, tmp_path, {**os.environ, **environment}))

    apart = (  # as Zero to JupyterHub has it
        'c.JupyterHub.hub_bind_url = "http://:8081"',
        'c.JupyterHub.hub_connect_url = "http://hub:8081"',
        "c.ConfigurableHTTPProxy.should_start = False",
        'c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"',
    )
    public = {"PROXY_PUBLIC_SERVICE_HOST": "10.0.0.7", "PROXY_PUBLIC_SERVICE_PORT": "443"}
    found = read(*apart, **public, PROXY_PUBLIC_SERVICE_PORT_HTTPS="443")
    assert found.hub_urls == ("http://127.0.0.1:8081", "http://hub:8081")
    assert (found.fronts, found.sure) == (("https://10.0.0.7:443",), False)
    assert found.config.proxy_elsewhere
    beside = (*apart[:1], apart[2])  # as The Littlest JupyterHub has it
    found = read(*beside)
    here = ("http://127.0.0.1:8000", "http://127.0.0.1", "https://127.0.0.1")
    assert (found.fronts, found.sure) == (here, False)
    assert not found.config.proxy_elsewhere
    found = read('c.JupyterHub.bind_url = "http://:8010/hub/at/"')
    assert (found.fronts, found.sure) == (("http://127.0.0.1:8010",), True)
    assert (found.hub_urls, found.base_url) == (("http://127.0.0.1:8081",), "/hub/at/")


def test_a_mail_server_that_is_not_there_and_one_that_is(hub):
    lines = f"""
c.HubQuotas.email_from = "hub@example.org"
c.HubQuotas.smtp_url = "smtp://hub:{SECRET}@127.0.0.1:%s"
"""
    public = f'c.JupyterHub.public_url = "{hub.base}"\n'
    server = MailServer()
    try:
        assert seeded(hub, lines % server.port)[0] == {"public-url-unset"}
        assert seeded(hub, public + lines % server.port)[0] == set()
    finally:
        server.stop()
    assert seeded(hub, public + lines % free_port())[0] == {"mail-unreachable"}


def test_a_configuration_that_is_newer_than_the_hub(hub, tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text((HERE / "worlds" / "snippet.py").read_text())
    for name in ("bare.py", "ports.py"):
        (tmp_path / name).write_text((HERE / "worlds" / name).read_text())
    found, said = doctor(hub, "-f", str(file))
    assert found == {"config-changed"}, said


# -- databases ------------------------------------------------------------------------------------


def ledger(file: Path) -> Path:
    """One of this release."""
    engine = open_engine(f"sqlite:///{file}")
    LEDGER.upgrade(engine)
    engine.dispose()
    return file


def test_ledgers_that_can_not_be_used(hub, tmp_path):
    def found(url: object) -> set[str]:
        return seeded(hub, f'c.HubQuotas.db_url = "{url}"\n')[0]

    assert found(f"sqlite:///{tmp_path}/none/ledger.sqlite") == {"database-folder"}
    assert found(f"sqlite:///{tmp_path}/ledger.sqlite") == {"database-missing"}
    assert found(f"sqlite:///{ledger(tmp_path / 'present.sqlite')}") == set()
    (tmp_path / "notes.sqlite").write_text("This is no database, whatever it is called.")
    assert found(f"sqlite:///{tmp_path}/notes.sqlite") == {"database-foreign"}
    nowhere = f"postgresql+psycopg://hub:{SECRET}@127.0.0.1:{free_port()}/ledger"
    assert found(nowhere) == {"database-unreachable"}
    older = open_engine(f"sqlite:///{ledger(tmp_path / 'older.sqlite')}")
    LEDGER.downgrade(older, "0003")
    assert found(older.url) == {"database-older"}
    newer = open_engine(f"sqlite:///{ledger(tmp_path / 'newer.sqlite')}")
    with closing(newer.raw_connection()) as db:
        db.driver_connection.execute(f"UPDATE {LEDGER.table} SET version_num = '0999'")
    assert found(newer.url) == {"database-newer"}
    older.dispose()
    newer.dispose()


def test_databases_that_go_with_a_container(hub):
    found, said = seeded(hub, 'c.JupyterHub.db_url = "postgresql://hub@db/hub"\n')
    assert found == {"database-in-working-folder"}, said


def test_a_ledger_on_postgresql(hub, postgres_url):
    url = fresh_database(postgres_url)
    lines = f'c.HubQuotas.db_url = "{url}"\n'
    assert seeded(hub, lines)[0] == {"database-missing"}, "the hub has another one"
    engine = open_engine(url)
    LEDGER.upgrade(engine)
    engine.dispose()
    assert seeded(hub, lines)[0] == set()
    server = url.replace("postgresql+psycopg://", "postgresql://", 1)
    name = url.rpartition("/")[2]
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert seeded(hub, lines)[0] == {"database-read-only"}


# -- the running hub and its pages ----------------------------------------------------------------


def test_a_hub_that_was_not_restarted_after_its_configuration_was_changed(start_hub):
    bare = start_hub("bare")
    assert doctor(bare, "-f", world_of(bare, "base"))[0] == {"hub-without-us"}
    assert doctor(bare)[0] == {"drop-ins-missing"}


def test_what_something_takes_away_again(start_hub):
    found, said = doctor(start_hub("undone"))
    assert found == {
        *("spawner-replaced", "authenticator-overridden", "service-missing", "pages-closed"),
    }, said
    assert "its own refresh_user before ours" in said
    assert "no service launch" in said
    assert "may not open the pages of groups" in said


def test_another_environment_than_the_hubs(hub, hub55):
    assert doctor(hub, python=hub55)[0] == {"versions-differ"}


def test_pages_that_do_not_answer(hub):
    (pages,) = (
        child
        for child in psutil.Process(hub.process.pid).children()
        if "hub_groups.host" in child.cmdline()
    )
    pages.send_signal(signal.SIGSTOP)
    try:
        assert doctor(hub)[0] == {"pages-down"}
    finally:
        pages.send_signal(signal.SIGCONT)
    assert doctor(hub)[0] == set()


@contextmanager
def route(hub: Hub, target: str | None) -> Iterator[None]:
    """The proxy leads to another place than to the pages of links, or knows no way to them."""
    api = f"http://127.0.0.1:{hub.settings['proxy_port']}/api/routes"
    with httpx.Client(headers={"Authorization": f"token {PROXY_TOKEN}"}, trust_env=False) as proxy:
        routes = proxy.get(api).json()
        (path,) = (path for path in routes if path.rstrip("/") == "/services/launch")
        before = {k: v for k, v in routes[path].items() if k != "last_activity"}
        address = f"{api}{path.rstrip('/')}"
        proxy.delete(address).raise_for_status()
        if target:
            proxy.post(address, json={**before, "target": target}).raise_for_status()
        try:
            yield
        finally:
            proxy.post(address, json=before).raise_for_status()


def test_a_proxy_that_does_not_lead_to_the_pages(hub):
    with route(hub, None):
        assert doctor(hub)[0] == {"proxy-route"}
    with route(hub, f"http://127.0.0.1:{free_port()}"):
        assert doctor(hub)[0] == {"pages-out-of-reach"}
    assert doctor(hub)[0] == set()


@contextmanager
def slow_clock(behind: str) -> Iterator[str]:
    """Something before a hub, on a machine with a wrong clock."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = httpx.get(behind.rstrip("/") + self.path, trust_env=False)
            self.send_response_only(answer.status_code)
            self.send_header("Date", "Mon, 02 Nov 2026 10:00:00 GMT")
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_address_that_browsers_use(hub):
    with slow_clock(hub.base) as url:
        assert doctor(hub, "--url", url)[0] == {"clock-public"}
    nowhere = f"http://127.0.0.1:{free_port()}/"
    assert doctor(hub, "--url", nowhere)[0] == {"public-unreachable"}


def test_the_answer_for_people(hub):
    world = str(HERE / "worlds" / "snippet.py")
    command = str(Path(sys.executable).parent / "hub-group-quotas")
    environment = {**os.environ, "WORLD": json.dumps(hub.settings)}
    done = subprocess.run(
        [command, "doctor", "-f", world],
        cwd=hub.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (hint,) = (line for line in done.stdout.splitlines() if line[:2] not in ("ok", "  "))
    assert hint.startswith("hint") and hint.endswith(f" [{ADVISORY}]")
