"""A drop-in stays attached, whatever an admin configures after it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from hubs import ROOT, Hub, wait_for


def test_later_configuration_is_wrapped_and_still_runs(fresh_hub):
    hub = fresh_hub("assertive", base_url="/pre/fix/")
    hub.limits("default: {member.servers: 1}")
    user = hub.login("user")

    assert hub.api("users/user/server", "POST").is_success
    for said in ("admin's pre_spawn_hook", "admin's own spawner", "admin's post_auth_hook"):
        assert said in hub.log
    refused = hub.api("users/user/servers/two", "POST")
    assert refused.status_code == 403
    assert "The group default allows each member 1 server" in refused.json()["message"]

    services = hub.api("services").json()
    assert {"tests", "mine", "groups", "quotas", "launch"} <= set(services)
    assert user.get("services/quotas/").status_code == 200, "everybody has access to the pages"
    assert user.get("hub/api/info").status_code == 403

    hub.api("users/user/server", "DELETE")
    assert "admin's post_stop_hook" in hub.log


@pytest.mark.slow
def test_spawners_that_apply_profiles_in_start_are_charged_for_the_profile(fresh_hub):
    """As KubeSpawner does, after the pre-spawn hook."""
    hub = fresh_hub("profiles")
    hub.limits("default: {server.memory: 1G}")
    hub.login("user")
    refused = hub.api("users/user/server", "POST", json={"user_options": {"profile": "2G"}})
    assert refused.status_code == 403
    assert "at most 1 GiB of memory; this one asks for 2 GiB" in refused.json()["message"]
    unknown = hub.api("users/user/server", "POST", json={"user_options": {"profile": "none"}})
    assert unknown.status_code == 400
    assert "No such profile: none" in unknown.json()["message"]
    allowed = hub.api("users/user/server", "POST", json={"user_options": {"profile": "1G"}})
    assert allowed.is_success
    assert hub.ledger().open_sessions("user")[0].granted["memory"] == 2**30


def test_a_hub_does_not_wait_for_its_pages(fresh_hub):
    """Nobody can log in meanwhile. That they are not up yet is nothing to be told of."""
    hub = fresh_hub("formless")
    assert hub.log.index("JupyterHub is now running") < hub.log.index("] Serving groups")
    assert "Is it running?" not in hub.log


STOPPED_WHILE_LOADING = """
import os, runpy, signal, sys

class Stop:
    def find_spec(self, name, *_):
        if name == "tornado.web":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Stop())
runpy.run_module("hub_groups.host", run_name="__main__")
"""


def test_pages_that_are_stopped_while_they_load_just_end():
    done = subprocess.run([sys.executable, "-c", STOPPED_WHILE_LOADING], capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_pages_that_do_not_come_up_do_not_take_the_hub_down(fresh_hub):
    hub = fresh_hub("brokenpages")
    assert hub.process.poll() is None
    hub.login("user")
    assert hub.api("users/user/server", "POST").is_success
    said = "Set c.HubGroups.service_url to a free port"
    wait_for("what the pages say", lambda: said in hub.log)
    assert hub.process.poll() is None


@pytest.mark.hub
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            'c.HubQuotas.policy = {"groups": {"a": {"limits": {"member.server": 1}}}}',
            "c.HubQuotas.policy: groups · a · limits · member.server: there is no limit of that",
        ),
        ('c.HubQuotas.time_zone = "Europe/Berlni"', "Did you mean 'Europe/Berlin'?"),
    ],
)
def test_a_setting_that_can_not_be_read_stops_the_hub_with_a_sentence(tmp_path, setting, said):
    """Configuration errors never open the gate."""
    drop_ins = (ROOT / "tests" / "worlds" / "base.py").read_text().partition("# Where pip")[2]
    hub = Hub(tmp_path, "snippet", config=f"import sys\n# Where pip{drop_ins}\n{setting}")
    with pytest.raises(AssertionError, match="The hub stopped"):
        hub.start()
    assert said in hub.log


def test_a_hub_without_our_spawner_says_so_loudly(start_hub):
    log = start_hub("takenaway").log
    assert "QUOTAS ARE NOT ENFORCED: servers are started by jupyterhub.spawner.Simple" in log
    assert "NOT ENFORCED" not in start_hub("formless", slow_spawn_timeout=10).log
