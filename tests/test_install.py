"""What else reads our configuration or finds us; test_install_kinds.py installs for real."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import pluggy
import pytest
from hubs import ROOT

from hub_groups import access as groups
from hub_quotas import access as quotas
from share_links import access as launch


def test_the_littlest_jupyterhub_finds_a_plugin_of_its_kind(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "install" / "tljh")
    from tljh import hooks

    plugins = pluggy.PluginManager("tljh")
    plugins.add_hookspecs(hooks)
    plugins.load_setuptools_entrypoints("tljh")
    plugins.check_pending()  # that there is no hook of ours which it does not call
    assert plugins.hook.tljh_custom_jupyterhub_config.get_hookimpls()
    monkeypatch.delitem(sys.modules, "tljh")


def test_a_hub_without_us_is_told_all_scopes_that_we_had():
    page = (ROOT / "docs" / "install.md").read_text()
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "scopes" in b)
    c = SimpleNamespace(JupyterHub=SimpleNamespace())
    exec(block, {"c": c})
    assert set(c.JupyterHub.custom_scopes) == {*groups.SCOPES, *quotas.SCOPES, *launch.SCOPES}


@pytest.mark.parametrize("command", ["token", "upgrade-db"])
def test_other_commands_of_the_hub_are_left_alone(fresh_hub, sandbox, command):
    """They read the same configuration file and are no hub."""
    hub = fresh_hub("formless")
    hub.stop()
    name = ["admin"] if command == "token" else []
    done = sandbox(
        *(hub.python, "-m", "jupyterhub", command, "-f", ROOT / "tests/worlds/formless.py", *name),
        env={"WORLD": json.dumps(hub.settings), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
