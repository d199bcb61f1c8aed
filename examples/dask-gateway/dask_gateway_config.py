"""Dask Gateway beside a hub, for users of the hub, under their quotas.

export DASK_GATEWAY_TOKEN=...  # the hub's side is in docs/beside.md
export HUB_URL=http://127.0.0.1:8000/ HUB_API_URL=http://127.0.0.1:8081/hub/api
dask-gateway-server -f dask_gateway_config.py
"""

import os
import sys
from pathlib import Path

from dask_gateway_server.options import Float, Integer, Options, String

sys.path.insert(0, str(Path(__file__).parent))
from dask_quotas import QuotaUnsafeLocalBackend

# Or `QuotaLocalBackend`, as root; or your own: `class Mine(QuotaMixin, PBSBackend)`.
c.DaskGateway.backend_class = QuotaUnsafeLocalBackend
c.QuotaMixin.hub_url = os.environ["HUB_URL"]
c.QuotaMixin.hub_token = os.environ["DASK_GATEWAY_TOKEN"]

# Who somebody is, the hub says.
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
c.JupyterHubAuthenticator.jupyterhub_api_url = os.environ["HUB_API_URL"]
c.JupyterHubAuthenticator.jupyterhub_api_token = os.environ["DASK_GATEWAY_TOKEN"]
c.JupyterHubAuthenticator.jupyterhub_service_name = "dask-gateway"

c.ClusterConfig.scheduler_cmd = ["dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["dask", "worker"]
c.ClusterConfig.scheduler_cores = 1
c.ClusterConfig.scheduler_memory = "512 M"


def sizes(options):
    return {
        "worker_cores": options.worker_cores,
        "worker_memory": int(options.worker_memory * 2**30),
    }


# No limits here: those are the hub's.
c.Backend.cluster_options = Options(
    Integer("worker_cores", default=1, min=1, label="Cores of each worker"),
    Float("worker_memory", default=1, min=0.25, label="Memory of each worker (GiB)"),
    String("group", default="", label="Group to charge (or any of yours)"),
    handler=sizes,
)
