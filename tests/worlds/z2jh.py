"""What runs in the hub image of Zero to JupyterHub, in the order of the chart's own configuration.

First what the chart sets, from its values; `hub.config` over that; then the drop-ins of the image;
and last each of `hub.extraConfig`, which assigns whatever it likes.
"""

import os
import sys
from pathlib import Path

import yaml
from tornado.httpclient import AsyncHTTPClient

chart = Path(sys.prefix, "etc/jupyterhub")
os.environ["KUBECONFIG"] = str(chart / "kubeconfig")  # is read when the client is imported
values = yaml.safe_load((chart / "values.yaml").read_text())["hub"]
c = get_config()

AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.bind_url = os.environ["PROXY_PUBLIC_URL"]
c.JupyterHub.hub_bind_url = f"http://:{os.environ['HUB_SERVICE_PORT']}"
c.JupyterHub.hub_connect_url = f"http://hub:{os.environ['HUB_SERVICE_PORT']}"
c.ConfigurableHTTPProxy.api_url = f"http://proxy-api:{os.environ['PROXY_API_SERVICE_PORT']}"
c.ConfigurableHTTPProxy.should_start = False
c.Spawner.consecutive_failure_limit = 5
c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.KubeSpawner.image = "server"
c.KubeSpawner.poll_interval = 1
c.KubeSpawner.pvc_name_template = "claim-{username}"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "10Gi"
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.volumes = [
    {"name": "volume-{username}", "persistentVolumeClaim": {"claimName": "claim-{username}"}}
]
c.KubeSpawner.volume_mounts = [{"name": "volume-{username}", "mountPath": "/home/jovyan"}]

c.JupyterHub.services = [
    {"name": name, "api_token": service.pop("apiToken"), **service}
    for name, service in values["services"].items()
]
c.JupyterHub.load_roles = [{"name": name, **role} for name, role in values["loadRoles"].items()]
for name, settings in values["config"].items():
    c[name].update(settings)

for drop_in in sorted((chart / "jupyterhub_config.d").glob("*.py")):
    exec(compile(drop_in.read_text(), drop_in.name, "exec"))  # noqa: S102

for name, snippet in sorted(values["extraConfig"].items()):
    exec(compile(snippet, name, "exec"))  # noqa: S102
