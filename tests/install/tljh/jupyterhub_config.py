"""What The Littlest JupyterHub configures, in the order in which it does (2.0).

First its own settings: the spawner, what stays when the hub restarts, ports. Then `config.yaml`:
authenticator, admins, limits, services. Then its plugins. Last the files of `jupyterhub_config.d`.

Differences: the proxy is started by the hub, where it would be Traefik beside it; no accounts are
made; and "units" are processes, with what systemd would have been told in `state/units`.
"""

import os
import sys
from pathlib import Path

import pluggy
import yaml
from systemdspawner import SystemdSpawner, systemd

sys.path.insert(0, str(Path(__file__).parents[2]))
from processes import Processes
from tljh import hooks

c = get_config()
prefix = Path(os.environ["TLJH_INSTALL_PREFIX"])
units = Processes(prefix / "state" / "units")


async def start_transient_service(unit_name, cmd, args, environment_variables, **told):
    units.write(unit_name, {**told, "environment": environment_variables})
    units.start(unit_name, [*cmd, *args], environment_variables)


async def service_running(unit_name):
    return units.exit_code(unit_name) is None


async def service_failed(unit_name):
    return False


systemd.start_transient_service = start_transient_service
systemd.service_running = service_running
systemd.service_failed = service_failed
systemd.stop_service = units.stop


class UserCreatingSpawner(SystemdSpawner):
    """Where it makes the account of the user."""

    def start(self):
        self.username_template = "root"  # an account that there is
        return super().start()


c.JupyterHub.spawner_class = UserCreatingSpawner
c.JupyterHub.cleanup_servers = False
c.JupyterHub.bind_url = os.environ["URL"]
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"])
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['PROXY_PORT']}"
c.SystemdSpawner.extra_paths = [str(prefix / "user" / "bin")]
c.SystemdSpawner.default_shell = "/bin/bash"
c.SystemdSpawner.unit_name_template = "jupyter-{USERNAME}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.tests.mocksu"]

said = yaml.safe_load((prefix / "config" / "config.yaml").read_text())
c.JupyterHub.authenticator_class = said["auth"].pop("type")
for name, settings in said["auth"].items():
    for key, value in settings.items():
        setattr(c[name], key, value)
c.Authenticator.admin_users = set(said["users"]["admin"])
limits = said.get("limits", {})
c.Spawner.mem_limit = limits.get("memory")
c.Spawner.cpu_limit = limits.get("cpu")
c.SystemdSpawner.username_template = "jupyter-{USERNAME}"
c.JupyterHub.services = []

plugins = pluggy.PluginManager("tljh")
plugins.add_hookspecs(hooks)
plugins.load_setuptools_entrypoints("tljh")
plugins.hook.tljh_custom_jupyterhub_config(c=c)

for file in sorted((prefix / "config" / "jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(file))
